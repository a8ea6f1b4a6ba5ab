"""Pictures without labels: any pictures in a folder, but none that a model is scored on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.prepare_data.findings import Finding, counted, find
from components.prepare_data.inspection import Inspection, drop_unreadable, inspect_pictures
from components.prepare_data.layouts.dataset import RawDataset
from components.prepare_data.layouts.files import list_files
from components.prepare_data.splits import group_key
from components.shared.boxes import LabeledPicture
from components.shared.unlabelled import check_unlabelled
from kd.data.dataset import UNLABELLED
from kd.data.letterbox import EXTENSIONS
from kd.errors import InputError

MAX_LISTED = 3


def load_unlabelled(
    folder: Path, splits: Mapping[str, Sequence[LabeledPicture]], inspections: Mapping[Path, Inspection], skip_unreadable: bool
) -> tuple[list[LabeledPicture], list[Finding]]:
    """The pictures below `folder` that repeat neither each other nor one of the train split, without boxes; and what is doubtful.

    Args:
        folder: any file in it that is no picture is left out.
        splits: the pictures with labels.
        inspections: what decoding these showed.
        skip_unreadable: whether pictures that cannot be decoded are dropped.

    Raises:
        InputError: if there are no pictures, some cannot be decoded, or some are also in the val or test split.
    """
    paths = list_files(check_unlabelled(folder), folder, EXTENSIONS)
    if not paths:
        raise InputError("data.unlabelled", f"'{folder}' has no pictures", "add some, or set it to ''")
    raw = RawDataset([], {UNLABELLED: [LabeledPicture(path, 0, 0, [], path) for path in paths]})
    decoded = inspect_pictures(raw)
    unreadable = drop_unreadable(raw, decoded, skip_unreadable, "data.unlabelled")
    paths = [picture.path for picture in raw.splits[UNLABELLED]]
    known: dict[str, dict[str, str]] = defaultdict(dict)
    for split, pictures in splits.items():
        for picture in pictures:
            known[inspections[picture.path].digest].setdefault(split, picture.path.name)
    _refuse_scored(paths, decoded, known)
    first = {decoded[path].digest: path for path in reversed(paths)}
    kept = [path for digest, path in first.items() if digest not in known]
    if not kept:
        raise InputError("data.unlabelled", f"all pictures in '{folder}' are in the train split", "add others, or set it to ''")
    copies = sorted(path.name for path in set(paths) - set(kept))
    problem = "pictures without labels occur more than once or are in train; left out"
    findings = find("copies without labels", copies, problem, "remove the copies")
    findings += _find_augmented(kept, splits)
    return [LabeledPicture(path, *decoded[path].size, [], path) for path in sorted(kept)], [*unreadable, *findings]


def _find_augmented(paths: Sequence[Path], splits: Mapping[str, Sequence[LabeledPicture]]) -> list[Finding]:
    """Pictures that are augmented copies (Roboflow's `.rf.`) of one that models are scored on."""
    scored = {group_key(p.path.name): f"{split}/{p.path.name}" for split in ("val", "test") for p in splits[split]}
    names = [
        f"{path.name} and {scored[group_key(path.name)]}" for path in sorted(paths) if _is_copy(path) and group_key(path.name) in scored
    ]
    problem = "pictures without labels are augmented copies of pictures in val or test"
    return find("augmented copies without labels", names, problem, "remove them: scores are too good otherwise")


def _is_copy(path: Path) -> bool:
    return group_key(path.name) != path.name


def _refuse_scored(paths: Sequence[Path], decoded: Mapping[Path, Inspection], known: Mapping[str, Mapping[str, str]]) -> None:
    """Raise `InputError` if a picture is also in val or test: the student would learn the teacher's answers for it."""
    scored = []
    for path in paths:
        found = known.get(decoded[path].digest, {})
        if split := next((split for split in ("test", "val") if split in found), None):
            scored.append(f"{path.name} = {split}/{found[split]}")
    if scored:
        listed = ", ".join(scored[:MAX_LISTED]) + (", ..." if len(scored) > MAX_LISTED else "")
        problem = f"{counted(len(scored), 'pictures are')} also in the val or test split ({listed})"
        raise InputError("data.unlabelled", problem, "remove them from this folder: scores are too good otherwise")
