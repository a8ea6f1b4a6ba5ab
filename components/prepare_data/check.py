"""The command `kdflow check`: what is wrong with a dataset, or doubtful about it, without a pipeline."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from components.params.load import load_params
from components.params.models import Data
from components.prepare_data.findings import Finding, counted
from components.prepare_data.load import CheckedDataset, load_dataset
from components.prepare_data.preview import save_rows
from components.shared.boxes import LabeledPicture
from kd.errors import InputError, clean_exit, printable
from kd.files import atomic_file, check_writable

DEFAULTS = Data(
    path=".", layout="auto", val=0.1, test=0.2, split_seed=0, image_size=416, anchors="kmeans", strict=False, skip_unreadable=False
)
MAX_LINES = 10
"""Messages about dropped labels that are printed."""
MAX_PICTURES = 8
"""Pictures that are drawn for a finding."""
DRAWN_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
"""Formats of the drawn picture by its suffix."""
OUT = Path("check.jpg")
"""The drawn picture; a file of this name in the dataset is taken for an earlier one."""
HIDDEN_OUT = Path(".check.jpg")
"""The drawn picture if the working folder is in the dataset: a hidden file is no data, so it does not become a picture without labels."""
OPTIONS = {
    "set data.path to": "give",
    "data.path": "FOLDER",
    "data.unlabelled": "--unlabelled",
    "data.layout": "--layout",
    "set data.skip_unreadable: true": "add --skip-unreadable",
    "data.image_size": "--image-size",
}
"""What replaces the names of parameters in remedies, because this command takes options instead."""
CODES = "exit codes: 0 nothing is doubtful; 1 something is; 2 the dataset is invalid"


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "kdflow check") -> None:
    """Read and check a folder, print the findings, and draw the doubtful pictures and boxes."""
    options = _parser(prog).parse_args(arguments)
    if options.out == OUT and Path().resolve().is_relative_to(options.folder.resolve()):
        options.out = HIDDEN_OUT
    _check_out(options.out, [options.folder, *([options.unlabelled] if options.unlabelled else [])])
    dataset = _load(options)
    pictures = [picture for split in dataset.splits.values() for picture in split]
    sizes = ", ".join(f"{len(part)} {split}" for split, part in dataset.splits.items())
    print(f"{counted(len(pictures), 'pictures')}, {counted(len(dataset.classes), 'classes')}: {sizes}")
    for line in dataset.dropped[:MAX_LINES]:
        print(f"- {printable(line)}")
    if len(dataset.dropped) > MAX_LINES:
        print(f"- labels dropped or clipped besides these: {len(dataset.dropped) - MAX_LINES}")
    for finding in dataset.findings:
        print(f"- {replace(finding, remedy=_name_options(finding.remedy))}")
    if not dataset.findings:
        print("nothing is doubtful")
        return
    if options.out.exists() and options.out.resolve() in {picture.path.resolve() for picture in pictures}:
        raise InputError(options.out, "is a picture of the dataset", "choose another --out")
    drawn = {f"{finding.check}: {finding.problem}": find_examples(finding, pictures) for finding in dataset.findings}
    if rows := [row for row in drawn.items() if row[1]]:
        with atomic_file(options.out) as temporary:
            save_rows(rows, dataset.classes, temporary, DRAWN_FORMATS[options.out.suffix.lower()])
        print(f"drawn: {options.out}")
    sys.exit(1)


def _check_out(out: Path, folders: Sequence[Path]) -> None:
    """Raise `InputError` if `out` is no JPEG or PNG, cannot be written, or is a file of the dataset in `folders`."""
    if out.suffix.lower() not in DRAWN_FORMATS:
        raise InputError(f"--out '{out}'", "is not the name of a JPEG or PNG file", "give a name that ends with .jpg or .png")
    if out.exists() and not out.is_file():
        raise InputError(out, "is not a file", "choose another --out")
    inside = [folder for folder in folders if out.resolve().is_relative_to(folder.resolve())]
    if out.exists() and out.name not in (OUT.name, HIDDEN_OUT.name) and inside:
        raise InputError(out, f"is a file in the dataset {inside[0]}, and would be replaced", "choose another --out, or remove the file")
    check_writable(out, "--out")


def _load(options: argparse.Namespace) -> CheckedDataset:
    """The dataset; errors name the command's options instead of parameters."""
    settings = _read_settings(options)
    try:
        return load_dataset(settings, options.folder, options.unlabelled)
    except InputError as error:
        where, problem, remedy = error.args
        names = {"data.path": options.folder, "data.unlabelled": options.unlabelled}
        raise InputError(names.get(where, where), problem, _name_options(remedy)) from None


def _name_options(remedy: str) -> str:
    """`remedy` with the command's options instead of parameters."""
    for parameter, option in OPTIONS.items():
        remedy = remedy.replace(parameter, option)
    return remedy


def find_examples(finding: Finding, pictures: Sequence[LabeledPicture]) -> list[LabeledPicture]:
    """The pictures that the examples of `finding` name, with only those boxes that they name, if they name any."""
    named = [picture for picture in pictures if any(_mentions(example, picture.path.name) for example in finding.examples)]
    return [_keep_named_boxes(finding, picture) for picture in named[:MAX_PICTURES]]


def _keep_named_boxes(finding: Finding, picture: LabeledPicture) -> LabeledPicture:
    own = [example for example in finding.examples if _mentions(example, picture.path.name)]
    boxes = [box for box in picture.boxes if any(_mentions(example, box.name) for example in own)]
    return replace(picture, boxes=boxes) if boxes else picture


def _mentions(example: str, name: str) -> bool:
    """Whether `example` contains `name` as a whole."""
    return bool(name) and name in example and bool(re.search(rf"(?:^|[/ ]){re.escape(name)}(?:$|[ ,:])", example))


def _read_settings(options: argparse.Namespace) -> Data:
    """The section `data` of the parameter file, or `DEFAULTS` in a folder without one, with the command's options."""
    given = options.params or Path("params.yaml")
    data = load_params(given).data if options.params or given.exists() else DEFAULTS
    changes = {"path": str(options.folder), "layout": options.layout}
    if options.skip_unreadable:
        changes["skip_unreadable"] = True
    if options.image_size is not None:
        changes["image_size"] = options.image_size
    try:
        return Data.model_validate(data.model_dump() | changes)
    except ValidationError:
        problem = f"{options.image_size} is not a multiple of 32, or below 64"
        raise InputError("--image-size", problem, "choose a multiple of 32, such as 416") from None


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog,
        description="Check a dataset: read the labels, decode all pictures, print what is doubtful, and draw it.",
        epilog=f"examples:\n  {prog} data/mine\n  {prog} data/mine --image-size 416 --out doubtful.jpg\n\n{CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="pictures and labels in COCO, VOC or YOLO layout")
    parser.add_argument("--unlabelled", type=Path, metavar="FOLDER", help="also check these pictures without labels (data.unlabelled)")
    parser.add_argument("--layout", choices=("auto", "coco", "voc", "yolo"), default="auto", help="layout of the labels (%(default)s)")
    size = f"side of the networks' input (default: data.image_size of the parameter file, or {DEFAULTS.image_size})"
    parser.add_argument("--image-size", type=int, metavar="N", help=size)
    skip = "leave out pictures that cannot be decoded (default: data.skip_unreadable of the parameter file, or no)"
    parser.add_argument("--skip-unreadable", action="store_true", help=skip)
    parser.add_argument("--params", type=Path, metavar="FILE", help="parameter file (default: params.yaml, if there is one)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE", help="JPEG or PNG to draw (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
