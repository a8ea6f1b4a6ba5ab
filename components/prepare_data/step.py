"""The step `prepare_data`: read and check labeled pictures, split them, and convert them to COCO format."""

import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from components.params.models import Data, Params
from components.prepare_data.anchors import Sizes, coco_anchors, kmeans_anchors
from components.prepare_data.data_source import DataSource, fetch_data
from components.prepare_data.findings import print_findings, refuse_findings
from components.prepare_data.load import load_dataset
from components.prepare_data.preview import save_preview
from components.prepare_data.stored_pictures import store_pictures
from components.prepare_data.summary import summarize_split
from components.shared.boxes import LabeledPicture
from components.shared.coco_format import write_coco
from kd.data.dataset import UNLABELLED
from kd.errors import printable
from kd.files import combine_digests, digest, write_json

if TYPE_CHECKING:
    from components.runtime.tracking import Run

NamedPictures = list[tuple[str, LabeledPicture]]
MAX_WARNINGS = 10
MAX_TAG = 5000
"""Characters that MLflow keeps of a tag."""


def prepare_data(
    params: Params,
    run: "Run",
    origin: DataSource | None = None,
    output: Path = Path("outputs/prepare_data"),
    unlabelled: DataSource | None = None,
) -> None:
    """Check the labeled pictures in `data.path`, split them, and write COCO JSON and the pictures.

    The pictures in `data.unlabelled`, if it is set, become a split of their own, without boxes. Pictures outside the test split whose
    longer side has more than `data.image_size` pixels are scaled down to it, because training makes no use of more; the labels stay in
    the pixels of the original. The test split keeps the original bytes: models are scored on what is served.

    The digest in summary.json is that of the labels and of the original files. It does not depend on what is scaled down, and is that
    of older releases for the same data.

    Args:
        params: parameters; the step reads the section `data`.
        run: records counts, the digest of the data, what is doubtful, and a preview.
        origin: repository and revision of `data.path`; None for a folder on this machine.
        output: folder for {train,val,test}/annotations.json, {train,val,test}/pictures.json and pictures-*.tar (see `kd.data.shards`),
            the same for unlabelled if there are pictures without labels, summary.json and preview.jpg.
        unlabelled: repository and revision of `data.unlabelled`; None for a folder on this machine.

    Raises:
        InputError: if the data are invalid, or doubtful and `data.strict` is true; the message names the file and the field. Boxes
            without area inside their picture are common in published datasets and are dropped instead, with a warning on stderr
            and a line in `dropped` of the summary.
    """
    more = _folder(params.data.unlabelled, unlabelled) if params.data.unlabelled else nullcontext()
    with _folder(params.data.path, origin) as folder, more as unlabelled_folder:
        summary = _prepare(params.data, folder, unlabelled_folder, output)
    for name, source, context in ((params.data.path, origin, "data"), (params.data.unlabelled, unlabelled, UNLABELLED)):
        tags = {"version": source.version, "commit": source.commit} if source and source.repo else {}
        if name:
            run.log_dataset(name, str(source or name), summary["digest"], context, **tags)
    counts = {f"{split}_{unit}": part[unit] for split, part in summary["splits"].items() for unit in ("pictures", "boxes")}
    run.log_metrics(counts | {"warnings": len(summary["warnings"])})
    if summary["warnings"]:
        run.set_tag("kdflow.warnings", "\n".join(f"{w['problem']}; {w['remedy']}" for w in summary["warnings"])[:MAX_TAG])
    run.log_artifact(output / "preview.jpg")


def _folder(path: str, source: DataSource | None) -> AbstractContextManager[Path]:
    """Provide the folder `path`, downloaded if it is in a repository."""
    return fetch_data(source) if source else nullcontext(Path(path))


def _prepare(data: Data, folder: Path, unlabelled: Path | None, output: Path) -> dict[str, Any]:
    """Write all outputs from the dataset in `folder` and the pictures in `unlabelled`, and return the summary."""
    dataset = load_dataset(data, folder, unlabelled)
    _print_warnings(dataset.dropped)
    if data.strict and dataset.findings:
        print_findings(dataset.findings)
        refuse_findings(dataset.findings)
    roots = {UNLABELLED: unlabelled} if unlabelled else {}
    named = {split: _with_unique_names(pictures, roots.get(split, folder)) for split, pictures in dataset.splits.items()}
    content = _write_splits(named, dataset.classes, data.image_size, output)
    sizes = _letterboxed_sizes(dataset.splits["train"], data.image_size)
    summary: dict[str, Any] = {
        "classes": dataset.classes,
        "digest": content,
        "splits": {split: summarize_split(dataset.classes, pictures) for split, pictures in dataset.splits.items()},
        "anchors": kmeans_anchors(sizes) if data.anchors == "kmeans" else coco_anchors(data.image_size),
        "image_size": data.image_size,
        "dropped": dataset.dropped,
        "warnings": [asdict(finding) for finding in dataset.findings],
    }
    write_json(output / "summary.json", summary)
    save_preview([picture for _, picture in named["train"]], dataset.classes, output / "preview.jpg")
    print_findings(dataset.findings)
    return summary


def _with_unique_names(pictures: Sequence[LabeledPicture], folder: Path) -> NamedPictures:
    """The pictures with their file names, sorted by name; pictures with the same name get a hash of their path as a prefix."""
    counts = Counter(picture.path.name for picture in pictures)

    def name(path: Path) -> str:
        if counts[path.name] == 1:
            return path.name
        return f"{hashlib.sha256(path.relative_to(folder).as_posix().encode()).hexdigest()[:8]}_{path.name}"

    return sorted(((name(picture.path), picture) for picture in pictures), key=lambda pair: pair[0])


def _write_splits(named: dict[str, NamedPictures], classes: Sequence[str], image_size: int, output: Path) -> str:
    """Write the labels and the pictures of each split. Returns the digest of the labels and the original files."""
    digests: dict[PurePath, str] = {}
    for split, pictures in named.items():
        folder, labels = output / split, PurePath(split, "annotations.json")
        folder.mkdir(parents=True)
        write_coco(output / labels, classes, pictures)
        digests[labels] = digest(output / labels)
        longest = None if split == "test" else image_size
        originals = store_pictures(folder, [picture for _, picture in pictures], f"store pictures of {split}", longest)
        # as if the originals were in a folder `images`, where older releases had them, so that the digest of the same data is the same
        digests |= {PurePath(split, "images", name): sha256 for (name, _), sha256 in zip(pictures, originals, strict=True)}
    return combine_digests(digests)


def _letterboxed_sizes(pictures: Sequence[LabeledPicture], image_size: int) -> Sizes:
    """Widths and heights (n, 2) of the boxes after their pictures are scaled to a longer side of `image_size` pixels."""
    scaled = ((box, image_size / max(p.width, p.height)) for p in pictures for box in p.boxes if not box.crowd)
    return np.array([(box.w * scale, box.h * scale) for box, scale in scaled], dtype=np.float64)


def _print_warnings(dropped: Sequence[str]) -> None:
    for line in dropped[:MAX_WARNINGS]:
        print(f"warning: {printable(line)}", file=sys.stderr)
    if len(dropped) > MAX_WARNINGS:
        print(f"warning: {len(dropped) - MAX_WARNINGS} more, see `dropped` in summary.json", file=sys.stderr)
