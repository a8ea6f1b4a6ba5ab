"""The command `kd`: predict with a trained detector, convert it, show its properties."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kd.arguments import count, number_type
from kd.detection.decode import Detections
from kd.detection.evaluate import NMSConfig
from kd.errors import InputError, clean_exit, printable
from kd.files import digest, write_json
from kd.model.build import ARCHITECTURES, build_model, count_parameters
from kd.model.coco_names import COCO_NAMES
from kd.model.darknet import published_spec, read_weights, write_weights
from kd.model.limits import COARSEST_STRIDE, MAX_CLASSES, MAX_IMAGE_SIZE, MAX_SCALE
from kd.model.store import load_init_metadata, load_model, load_spec, load_training_pictures, save_model
from kd.predict import find_pictures, predict, to_rows
from kd.progress import track
from kd.sources import open_detector

Run = Callable[[argparse.Namespace], None]
MAX_LISTED = 20
"""Results are listed by picture for at most this many pictures."""
EXAMPLES = {
    "predict": """
  {prog} predict model.safetensors street.jpg
  {prog} predict model.safetensors photos/ more/ --out drawn --json found.json
  {prog} predict model.safetensors photos/ --confidence 0.5 --device cuda:1
  {prog} predict models:/kdflow-student@champion photos/
  {prog} predict models:/kdflow-student/3 photos/""",
    "convert": """
  {prog} convert yolov3-tiny.weights tiny.safetensors --architecture yolov3-tiny
  {prog} convert mine.weights mine.safetensors --architecture yolov3-tiny --classes mine.names --anchors cfg
  {prog} convert model.safetensors model.weights""",
    "show": """
  {prog} show model.safetensors""",
}
ORIGIN = {"license": "init_license", "renamed": "init_classes", "origin": "init_origin"}
"""What `show` prints of the initial weights, and the keys in their metadata."""
ANCHORS_HELP = """yolov3-tiny only. 'released': the anchors of the released COCO weights (masks 1,2,3).
'cfg': the anchors in yolov3-tiny.cfg (masks 0,1,2), for networks trained with that file.
With the wrong choice the file loads without an error, and small objects get boxes of the wrong size."""
PREDICT_CODES = """

exit codes: 0 done; 1 some pictures could not be decoded and were skipped; 2 invalid input, nothing was done"""


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "kd") -> None:
    """Run the command line; `prog` is the name of the command in its help."""
    args = _parser(prog).parse_args(arguments)
    args.run(args)


def _predict(args: argparse.Namespace) -> None:
    files = find_pictures(args.pictures, args.out)
    detector = open_detector(args.model, args.device)
    nms = NMSConfig(args.confidence, args.nms_iou, args.max_detections)
    results = list(track(predict(detector, files, nms), "predict", len(files)))
    found = [(file, result) for file, result in results if isinstance(result, Detections)]
    skipped = [result for _, result in results if isinstance(result, InputError)]
    for error in skipped[:MAX_LISTED]:
        print(f"skipped: {printable(str(error))}", file=sys.stderr)
    if not found:
        raise InputError("PICTURES", f"none of {len(files)} pictures can be decoded", "give intact picture files")
    if args.json:
        write_json(args.json, [row for file, detections in found for row in to_rows(file.name, detections, detector.classes)])
    if len(found) <= MAX_LISTED:
        for file, detections in found:
            print(printable(f"{file.name}: {_counted(detections, detector.classes)}"))
    print(f"pictures: {len(found)}, objects: {sum(len(d.labels) for _, d in found)}; drawn in {args.out}")
    if skipped:
        print(f"skipped: {len(skipped)} of {len(files)} pictures, which cannot be decoded", file=sys.stderr)
        sys.exit(1)


def _counted(detections: Detections, classes: tuple[str, ...]) -> str:
    """Such as "2 person, 1 dog"."""
    counts = Counter(detections.labels.tolist()).most_common()
    return ", ".join(f"{count} {classes[label]}" for label, count in counts) or "nothing"


def _convert(args: argparse.Namespace) -> None:
    ends = (args.source.suffix.lower(), args.target.suffix.lower())
    if ends == (".weights", ".safetensors"):
        _from_darknet(args)
    elif ends == (".safetensors", ".weights"):
        write_weights(args.target, load_model(args.source)[0])
        print(f"wrote {args.target}; keep {args.source}, because the new file has no classes, anchors or sizes")
    else:
        raise InputError(
            args.target, f"cannot be converted from {args.source}", "convert .weights to .safetensors, or .safetensors to .weights"
        )


def _from_darknet(args: argparse.Namespace) -> None:
    if not args.architecture:
        raise InputError(args.source, "does not contain its architecture", f"add --architecture {' or '.join(ARCHITECTURES)}")
    classes = _names(args.classes) if args.classes else COCO_NAMES
    spec = published_spec(args.architecture, classes, args.anchors)
    spec = replace(spec, width=args.width, depth=args.depth, image_size=args.image_size)
    network = build_model(spec)
    read_weights(args.source, network)
    save_model(args.target, network, spec)
    print(f"wrote {args.target}: {spec.architecture}, {len(classes)} classes, {count_parameters(network):,} parameters")


def _names(path: Path) -> tuple[str, ...]:
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except UnicodeDecodeError:
        raise InputError(path, "is not UTF-8 text", "give a file with one class name per line") from None
    if len(names) > MAX_CLASSES:
        raise InputError(path, f"contains {len(names):,} classes", f"give at most {MAX_CLASSES:,}")
    if not names or len(set(names)) < len(names):
        raise InputError(path, "contains a class twice" if names else "contains no class", "give one class name per line")
    return names


def _show(args: argparse.Namespace) -> None:
    if not args.model.exists() and not args.model.suffix and len(args.model.parts) == 1:
        remedy = f"give a model.safetensors; `kdflow registry show {args.model}` shows a registered version"
        raise InputError(args.model, "is missing", remedy)
    spec, initial, pictures = load_spec(args.model), load_init_metadata(args.model), load_training_pictures(args.model)
    anchors = [f"stride {s}: " + ", ".join(f"{w:g}x{h:g}" for w, h in spec.anchors[s]) for s in sorted(spec.anchors)]
    properties = {
        "architecture": f"{spec.architecture}, width {spec.width:g}, depth {spec.depth:g}",
        "parameters": f"{count_parameters(load_model(args.model)[0]):,}",
        "image size": f"{spec.image_size} x {spec.image_size}",
        "classes": f"{len(spec.classes)}: {', '.join(map(printable, spec.classes))}",
        "anchors": "; ".join(anchors),
        "sha256": digest(args.model),
        **({"trained on": f"{len(pictures):,} pictures"} if pictures else {}),
        **({"starts from": printable(f"{initial['init']} (sha256 {initial['init_digest']})")} if initial else {}),
        **{name: printable(initial[key]) for name, key in ORIGIN.items() if key in initial},
    }
    for name, value in properties.items():
        print(f"{name:<13} {value}")


def _parser(prog: str) -> argparse.ArgumentParser:
    purpose = "Predict with a trained detector, convert it, or show its properties."
    parser = argparse.ArgumentParser(prog, description=purpose, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.epilog = "examples:" + "".join(EXAMPLES.values()).format(prog=prog)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    predict_parser = _command(commands, prog, "predict", "detect objects in pictures and draw them", _predict)
    predict_parser.epilog = f"{predict_parser.epilog}{PREDICT_CODES}"
    _add_predict(predict_parser)
    _add_convert(_command(commands, prog, "convert", "convert between Darknet's .weights and kdflow's .safetensors", _convert))
    show = _command(commands, prog, "show", "show the properties of a model file", _show)
    show.add_argument("model", type=Path, metavar="MODEL", help="a model.safetensors")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", prog: str, name: str, purpose: str, run: Run
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.", formatter_class=argparse.RawTextHelpFormatter
    )
    command.epilog = "examples:" + EXAMPLES[name].format(prog=prog)
    command.set_defaults(run=run)
    return command


def _add_predict(command: argparse.ArgumentParser) -> None:
    add, default = command.add_argument, NMSConfig(confidence=0.25)
    add("model", metavar="MODEL", help="a model.safetensors, or a registered model such as models:/NAME@champion")
    add("pictures", type=Path, nargs="+", metavar="PICTURES", help="picture files, or folders of them")
    add("--out", type=Path, default=Path("predictions"), metavar="DIR", help="folder of the drawn pictures (%(default)s)")
    add("--confidence", type=_fraction, default=default.confidence, help="lower bound of the scores (%(default)s)")
    add("--nms-iou", type=_fraction, default=default.nms_iou, help="IoU above which the lower-scoring of two boxes goes (%(default)s)")
    add("--max-detections", type=count, default=default.max_detections, help="maximum number of boxes in a picture (%(default)s)")
    add("--most", dest="max_detections", type=count, help=argparse.SUPPRESS)
    add("--json", type=Path, metavar="FILE", help="write all boxes here: file, class, bbox (x, y, width, height), score")
    add("--device", help="such as cpu, cuda or cuda:1 (default: the first GPU, or the CPU if there is none)")


def _add_convert(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", type=Path, metavar="SOURCE", help="a .weights or .safetensors file")
    command.add_argument("target", type=Path, metavar="TARGET", help="the file to write, of the other format")
    options = command.add_argument_group("from .weights only", "properties of the network that such a file does not contain")
    options.add_argument("--architecture", choices=list(ARCHITECTURES), help="architecture of the network (required)")
    options.add_argument("--classes", type=Path, metavar="FILE", help="class names, one per line (default: the 80 of COCO)")
    options.add_argument("--anchors", choices=["released", "cfg"], default="released", help=ANCHORS_HELP)
    options.add_argument("--width", type=_multiplier, default=1.0, help="multiplier of the channels (%(default)s)")
    options.add_argument("--depth", type=_multiplier, default=1.0, help="multiplier of Darknet-53's residual blocks (%(default)s)")
    options.add_argument("--image-size", type=_side, default=416, help="side of the input in pixels, a multiple of 32 (%(default)s)")


_fraction = number_type(float, lambda value: 0 <= value <= 1, "in 0..1")
_multiplier = number_type(float, lambda value: 0 < value <= MAX_SCALE, f"above 0 and at most {MAX_SCALE:g}")
_side = number_type(
    int, lambda value: 0 < value <= MAX_IMAGE_SIZE and value % COARSEST_STRIDE == 0, f"a multiple of 32 and at most {MAX_IMAGE_SIZE}"
)
