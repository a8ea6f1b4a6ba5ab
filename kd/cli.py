"""The command `kd`: use a trained detector, convert it, look into it."""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kd.detection.decode import Detections
from kd.detection.evaluate import NMSConfig
from kd.errors import InputError, handle_errors
from kd.files import digest, write_json
from kd.model.build import ARCHITECTURES, build_model, count_parameters
from kd.model.coco_names import COCO_NAMES
from kd.model.darknet import published_spec, read_weights, write_weights
from kd.model.store import load_model, load_spec, save_model
from kd.predict import as_rows, plan, predict
from kd.progress import track
from kd.sources import open_detector

Run = Callable[[argparse.Namespace], None]
FEW = 20
"""Up to so many pictures are summed up one by one."""
EXAMPLES = {
    "predict": """
  kd predict model.safetensors street.jpg
  kd predict model.safetensors photos/ more/ --out drawn --json found.json
  kd predict model.safetensors photos/ --confidence 0.5 --device cuda:1
  kd predict models:/kdflow-student@champion photos/
  kd predict models:/kdflow-student/3 photos/""",
    "convert": """
  kd convert yolov3-tiny.weights tiny.safetensors --architecture yolov3-tiny
  kd convert mine.weights mine.safetensors --architecture yolov3-tiny --classes mine.names --anchors cfg
  kd convert model.safetensors model.weights""",
    "show": """
  kd show model.safetensors""",
}
ANCHORS_HELP = """yolov3-tiny only. 'released': what the public COCO weights were trained with (masks 1,2,3).
'cfg': what yolov3-tiny.cfg says (masks 0,1,2), right for networks trained from that file.
The wrong choice loads without an error and finds small objects in wrong sizes."""


@handle_errors
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args = _parser().parse_args(arguments)
    args.run(args)


def _predict(args: argparse.Namespace) -> None:
    tasks = plan(args.pictures, args.out)
    detector = open_detector(args.model, args.device)
    nms = NMSConfig(args.confidence, args.nms_iou, args.max_detections)
    results = list(track(predict(detector, tasks, nms), "predict", len(tasks)))
    if args.json:
        write_json(args.json, [row for task, found in results for row in as_rows(task.name, found, detector.classes)])
    if len(results) <= FEW:
        for task, found in results:
            print(f"{task.name}: {_counted(found, detector.classes)}")
    print(f"pictures: {len(results)}, objects: {sum(len(found.labels) for _, found in results)}; drawn in {args.out}")


def _counted(found: Detections, classes: tuple[str, ...]) -> str:
    """Such as "2 person, 1 dog"."""
    return ", ".join(f"{count} {classes[label]}" for label, count in Counter(found.labels.tolist()).most_common()) or "nothing"


def _convert(args: argparse.Namespace) -> None:
    ends = (args.source.suffix.lower(), args.target.suffix.lower())
    if ends == (".weights", ".safetensors"):
        _from_darknet(args)
    elif ends == (".safetensors", ".weights"):
        write_weights(args.target, load_model(args.source)[0])
        print(f"wrote {args.target}; it holds no classes, anchors or sizes: keep {args.source} for those")
    else:
        raise InputError(args.target, f"cannot be made from {args.source}", "convert .weights to .safetensors, or .safetensors to .weights")


def _from_darknet(args: argparse.Namespace) -> None:
    if not args.architecture:
        raise InputError(args.source, "does not say which network it belongs to", f"add --architecture {' or '.join(ARCHITECTURES)}")
    classes = _names(args.classes) if args.classes else COCO_NAMES
    spec = published_spec(args.architecture, classes, args.anchors)
    spec = replace(spec, width=args.width, depth=args.depth, image_size=args.image_size)
    network = build_model(spec)
    read_weights(args.source, network)
    save_model(args.target, network, spec)
    print(f"wrote {args.target}: {spec.architecture}, {len(classes)} classes, {count_parameters(network):,} parameters")


def _names(path: Path) -> tuple[str, ...]:
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except UnicodeDecodeError:
        raise InputError(path, "is not UTF-8 text", "give a file with one class name a line") from None
    if not names or len(set(names)) < len(names):
        raise InputError(path, "names a class twice" if names else "names no class", "give one class name a line")
    return names


def _show(args: argparse.Namespace) -> None:
    spec = load_spec(args.model)
    anchors = [f"stride {s}: " + ", ".join(f"{w:g}x{h:g}" for w, h in spec.anchors[s]) for s in sorted(spec.anchors)]
    facts = {
        "architecture": f"{spec.architecture}, width {spec.width:g}, depth {spec.depth:g}",
        "parameters": f"{count_parameters(load_model(args.model)[0]):,}",
        "image size": f"{spec.image_size} x {spec.image_size}",
        "classes": f"{len(spec.classes)}: {', '.join(spec.classes)}",
        "anchors": "; ".join(anchors),
        "sha256": digest(args.model),
    }
    for name, value in facts.items():
        print(f"{name:<13} {value}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "kd", description="Use a trained detector, convert it, look into it.", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.epilog = "examples:" + "".join(EXAMPLES.values())
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_predict(_command(commands, "predict", "find objects in pictures and draw them", _predict))
    _add_convert(_command(commands, "convert", "between Darknet's .weights and kdflow's .safetensors", _convert))
    show = _command(commands, "show", "what is in a model file", _show)
    show.add_argument("model", type=Path, metavar="MODEL", help="a model.safetensors")
    return parser


def _command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, purpose: str, run: Run) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.", formatter_class=argparse.RawTextHelpFormatter
    )
    command.epilog = "examples:" + EXAMPLES[name]
    command.set_defaults(run=run)
    return command


def _add_predict(command: argparse.ArgumentParser) -> None:
    usual = NMSConfig(confidence=0.25)
    command.add_argument("model", metavar="MODEL", help="a model.safetensors, or a registered model such as models:/NAME@champion")
    command.add_argument(
        "pictures", type=Path, nargs="+", metavar="PICTURES", help="files, or folders to search for jpg, png, bmp and webp"
    )
    command.add_argument("--out", type=Path, default=Path("predictions"), metavar="DIR", help="folder of the drawn pictures (%(default)s)")
    command.add_argument("--confidence", type=_share, default=usual.confidence, help="least score of a box (%(default)s)")
    command.add_argument(
        "--nms-iou", type=_share, default=usual.nms_iou, help="overlap above which the weaker box of a class goes (%(default)s)"
    )
    command.add_argument("--most", type=int, default=usual.max_detections, help="most boxes in a picture (%(default)s)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write every box here: file, class, bbox (x, y, width, height), score")
    command.add_argument("--device", help="such as cpu, cuda or cuda:1 (the first GPU; without one, the CPU)")


def _add_convert(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", type=Path, metavar="SOURCE", help="a .weights or .safetensors file")
    command.add_argument("target", type=Path, metavar="TARGET", help="the file to write, of the other kind")
    options = command.add_argument_group("from .weights only", "what such a file does not say about its network")
    options.add_argument("--architecture", choices=list(ARCHITECTURES), help="which network it is (required)")
    options.add_argument("--classes", type=Path, metavar="FILE", help="class names, one a line (the 80 of COCO)")
    options.add_argument("--anchors", choices=["released", "cfg"], default="released", help=ANCHORS_HELP)
    options.add_argument("--width", type=_multiplier, default=1.0, help="multiplier of the channels (%(default)s)")
    options.add_argument("--depth", type=_multiplier, default=1.0, help="multiplier of Darknet-53's residual blocks (%(default)s)")
    options.add_argument("--image-size", type=_side, default=416, help="side of the input in pixels, a multiple of 32 (%(default)s)")


def _share(text: str) -> float:
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError("must lie in 0..1")
    return float(text)


def _multiplier(text: str) -> float:
    if not 0 < float(text) <= 4:
        raise argparse.ArgumentTypeError("must lie above 0, at most 4")
    return float(text)


def _side(text: str) -> int:
    if int(text) < 32 or int(text) % 32:
        raise argparse.ArgumentTypeError("must be a multiple of 32")
    return int(text)
