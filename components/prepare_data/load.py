"""Read a dataset, check it, and split it; what `prepare_data` and `kdflow check` have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.params.models import Data
from components.prepare_data.clipping import clip_boxes, drop_duplicates
from components.prepare_data.findings import Finding
from components.prepare_data.inspection import Inspection, check_sizes, drop_unreadable, inspect_pictures, picture_findings
from components.prepare_data.layouts import read_dataset
from components.prepare_data.layouts.dataset import check_class_names_printable
from components.prepare_data.split_checks import check_splits
from components.prepare_data.splits import check_classes_have_boxes, split_dataset
from components.prepare_data.unlabelled import load_unlabelled
from components.shared.boxes import LabeledPicture
from kd.data.dataset import UNLABELLED
from kd.data.shards import INDEX
from kd.errors import InputError


@dataclass(frozen=True)
class CheckedDataset:
    """A dataset that can be trained on.

    Attributes:
        classes: class names.
        splits: the pictures of train, val and test, and, if there are any, those without labels.
        dropped: messages about dropped and clipped labels.
        findings: what is doubtful.
        inspections: what decoding the pictures with labels showed.
    """

    classes: list[str]
    splits: dict[str, list[LabeledPicture]]
    dropped: list[str]
    findings: list[Finding]
    inspections: Mapping[Path, Inspection]


def load_dataset(data: Data, folder: Path, unlabelled: Path | None = None) -> CheckedDataset:
    """Read, check and split the dataset in `folder` as the section `data` says.

    Args:
        data: the settings.
        folder: pictures and labels.
        unlabelled: folder with pictures without labels; None for none.

    Raises:
        InputError: if it is invalid; the message names the file and the field.
    """
    if (folder / "train" / INDEX).exists():
        raise InputError(folder, "was written by prepare_data", "set data.path to the folder with the original pictures")
    dataset = read_dataset(folder, data.layout)
    check_class_names_printable(dataset.classes, folder)
    inspections = inspect_pictures(dataset)
    findings = [*dataset.findings, *drop_unreadable(dataset, inspections, data.skip_unreadable)]
    check_sizes(dataset, inspections)
    dropped = dataset.dropped + clip_boxes(dataset)
    findings += [*drop_duplicates(dataset), *picture_findings(dataset, inspections)]
    digests = {path: inspection.digest for path, inspection in inspections.items()}
    splits, moved = split_dataset(dataset, data.val, data.test, data.split_seed, digests)
    check_classes_have_boxes(dataset.classes, splits)
    findings += [*moved, *check_splits(dataset.classes, splits, inspections, data.image_size)]
    if unlabelled:
        pictures, more = load_unlabelled(unlabelled, splits, inspections, data.skip_unreadable)
        splits, findings = splits | {UNLABELLED: pictures}, findings + more
    return CheckedDataset(dataset.classes, splits, dropped, findings, inspections)
