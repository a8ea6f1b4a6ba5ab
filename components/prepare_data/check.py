"""The command `kdflow check`: what is wrong with a dataset, or doubtful about it, without a pipeline."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from components.params.load import load_params
from components.prepare_data.findings import Finding
from components.prepare_data.inspection import UPSIDE_DOWN
from components.prepare_data.load import CheckedDataset, load_dataset
from components.prepare_data.preview import save_preview
from components.shared.boxes import LabeledPicture
from kd.errors import handle_errors
from kd.files import atomic_file

PICTURES = 12
CODES = "exit codes: 0 nothing is doubtful; 1 something is; 2 the dataset is invalid"


@handle_errors
def main(arguments: Sequence[str] | None = None, prog: str = "kdflow check") -> None:
    """Read and check a folder, print the findings, and draw the doubtful pictures."""
    options = _parser(prog).parse_args(arguments)
    changes = {"path": str(options.folder), "layout": options.layout, "image_size": options.image_size, "skip_unreadable": True}
    data = load_params(options.params).data.model_copy(update={name: value for name, value in changes.items() if value is not None})
    dataset = load_dataset(data, options.folder)
    pictures = sum(len(split) for split in dataset.splits.values())
    print(f"{pictures} pictures, {len(dataset.classes)} classes: " + ", ".join(f"{len(p)} {split}" for split, p in dataset.splits.items()))
    for line in (*dataset.dropped[:PICTURES], *dataset.findings):
        print(f"- {line}")
    if not dataset.findings:
        print("nothing is doubtful")
        return
    with atomic_file(options.out) as temporary:
        save_preview(doubtful(dataset), dataset.classes, temporary, PICTURES)
    print(f"drawn: {options.out}")
    sys.exit(1)


def doubtful(dataset: CheckedDataset) -> list[LabeledPicture]:
    """The pictures that findings name, then those that are upside down, at most `PICTURES`; any pictures if there are none."""
    everything = [picture for pictures in dataset.splits.values() for picture in pictures]
    named = [picture for picture in everything if any(_names(finding, picture) for finding in dataset.findings)]
    turned = [picture for picture in everything if dataset.inspections[picture.path].orientation == UPSIDE_DOWN]
    return list({picture.path: picture for picture in (*named, *turned)}.values())[:PICTURES] or everything[:PICTURES]


def _names(finding: Finding, picture: LabeledPicture) -> bool:
    return any(picture.path.name in example for example in finding.examples)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog,
        description="Check a dataset: read the labels, decode all pictures, print what is doubtful, and draw it.",
        epilog=f"examples:\n  {prog} data/mine\n  {prog} data/mine --image-size 416 --out doubtful.jpg\n\n{CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="pictures and labels in COCO, VOC or YOLO layout")
    parser.add_argument("--layout", choices=("auto", "coco", "voc", "yolo"), default="auto", help="layout of the labels (%(default)s)")
    parser.add_argument("--image-size", type=int, metavar="N", help="side of the networks' input (default: data.image_size)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("check.jpg"), metavar="FILE", help="picture to draw (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
