"""The step `prepare_data`: read the user's pictures and labels, check them, split them, write the one format of all later steps."""

import hashlib
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.params.models import Data, Params
from components.prepare_data.anchors import Sizes, coco_anchors, fitted_anchors
from components.prepare_data.clipping import fit_boxes
from components.prepare_data.data_source import Origin, fetched
from components.prepare_data.layouts import read_source
from components.prepare_data.layouts.pictures import check_picture
from components.prepare_data.preview import contact_sheet
from components.prepare_data.splits import complete_splits, refuse_empty_classes
from components.prepare_data.summary import summarize
from components.shared.boxes import LabeledPicture
from components.shared.coco_format import write_coco
from kd.files import digest, write_json
from kd.progress import track

if TYPE_CHECKING:
    from components.runtime.tracking import Run

Named = list[tuple[str, LabeledPicture]]
SHOWN_LINES = 10


def prepare_data(params: Params, run: "Run", origin: Origin | None = None, output: Path = Path("outputs/prepare_data")) -> None:
    """Check the labelled pictures in `data.path`, split them, and write them as COCO JSON with pictures.

    Args:
        params: the section `data` is used.
        run: records counts, the data's digest and a preview.
        origin: where to get `data.path`; None for a folder on this machine.
        output: folder for {train,val,test}/annotations.json, {train,val,test}/images/, summary.json and preview.jpg.

    Raises:
        InputError: naming the file and field that is wrong. Boxes without area inside their picture are left out instead,
            each with a line on stderr and in `dropped` of the summary, because published data sets have some.
    """
    with fetched(origin) if origin else nullcontext(Path(params.data.path)) as folder:
        content = _prepare(params.data, folder, output)
    known = {"version": origin.version, "commit": origin.commit} if origin and origin.repo else {}
    run.dataset(params.data.path, str(origin or params.data.path), content["digest"], "data", **known)
    run.metrics({f"{split}_{unit}": counts[unit] for split, counts in content["splits"].items() for unit in ("pictures", "boxes")})
    run.artifact(output / "preview.jpg")


def _prepare(data: Data, folder: Path, output: Path) -> dict[str, Any]:
    """Write what the step writes, from the pictures in `folder`; returns the summary."""
    source = read_source(folder, data.layout)
    dropped = source.dropped + fit_boxes(source)
    splits = complete_splits(source, data.val, data.test, data.split_seed)
    refuse_empty_classes(source.classes, splits)
    _warn(dropped)
    named = {split: _named(pictures, folder) for split, pictures in splits.items()}
    _write(named, source.classes, output)
    sizes = _letterboxed_sizes(splits["train"], data.image_size)
    content: dict[str, Any] = {
        "classes": source.classes,
        "digest": digest(output),
        "splits": {split: summarize(source.classes, pictures) for split, pictures in splits.items()},
        "anchors": fitted_anchors(sizes) if data.anchors == "kmeans" else coco_anchors(data.image_size),
        "image_size": data.image_size,
        "dropped": dropped,
    }
    write_json(output / "summary.json", content)
    contact_sheet([picture for _, picture in named["train"]], source.classes, output / "preview.jpg")
    return content


def _named(pictures: Sequence[LabeledPicture], folder: Path) -> Named:
    """The pictures, by file name; where several have the same name, a hash of the path in `folder` goes before it."""
    counts = Counter(picture.path.name for picture in pictures)
    return sorted(((_name(picture.path, counts, folder), picture) for picture in pictures), key=lambda pair: pair[0])


def _name(path: Path, counts: Counter[str], folder: Path) -> str:
    if counts[path.name] == 1:
        return path.name
    return f"{hashlib.sha256(path.relative_to(folder).as_posix().encode()).hexdigest()[:8]}_{path.name}"


def _write(named: dict[str, Named], classes: Sequence[str], output: Path) -> None:
    """Check and copy every picture, one at a time, and write the labels of each split."""
    for split, pictures in named.items():
        (output / split / "images").mkdir(parents=True)
        write_coco(output / split / "annotations.json", classes, pictures)
    everything = [(split, name, picture) for split, pictures in named.items() for name, picture in pictures]
    for split, name, picture in track(everything, "prepare_data", len(everything)):
        check_picture(picture)
        shutil.copyfile(picture.path, output / split / "images" / name)


def _letterboxed_sizes(pictures: Sequence[LabeledPicture], image_size: int) -> Sizes:
    """Widths and heights (n, 2) of the boxes when their pictures' long side is `image_size` pixels."""
    scaled = ((box, image_size / max(p.width, p.height)) for p in pictures for box in p.boxes if not box.crowd)
    return np.array([(box.w * scale, box.h * scale) for box, scale in scaled], dtype=np.float64)


def _warn(dropped: Sequence[str]) -> None:
    """Show the lines on what was left out, the first ten of them."""
    for line in dropped[:SHOWN_LINES]:
        print(f"warning: {line}", file=sys.stderr)
    if len(dropped) > SHOWN_LINES:
        print(f"warning: and {len(dropped) - SHOWN_LINES} more, all in summary.json", file=sys.stderr)
