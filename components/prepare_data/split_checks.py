"""Checks of the splits for what would silently impair training or evaluation."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.prepare_data.findings import Finding, find
from components.prepare_data.inspection import Inspection
from components.prepare_data.splits import group_key
from components.shared.boxes import LabeledPicture
from kd.data.placement import MIN_BOX_SIDE, MOSAIC_SIZE

USUAL_MAX_DETECTIONS = 100
MIN_TEST_OBJECTS, MIN_TEST_PICTURES = 10, 50
Splits = Mapping[str, Sequence[LabeledPicture]]


def check_splits(classes: Sequence[str], splits: Splits, inspections: Mapping[Path, Inspection], image_size: int) -> list[Finding]:
    """All findings about the split dataset."""
    return [
        *identical_pictures(splits, inspections),
        *small_boxes(splits["train"], image_size),
        *crowded_pictures(splits),
        *small_test_split(classes, splits),
    ]


def identical_pictures(splits: Splits, inspections: Mapping[Path, Inspection]) -> list[Finding]:
    """Pictures with the same pixels, and augmented copies of one picture (Roboflow's `.rf.`) in several splits.

    Splits that are cut here keep copies together, so those in several splits come from splits of the user.
    """
    by_digest: dict[str, list[tuple[str, str]]] = defaultdict(list)
    by_key: dict[str, dict[str, str]] = defaultdict(dict)
    for split, pictures in splits.items():
        for picture in pictures:
            by_digest[inspections[picture.path].digest].append((split, picture.path.name))
            if group_key(picture.path.name) != picture.path.name:
                by_key[group_key(picture.path.name)].setdefault(split, picture.path.name)
    inside: list[str] = []
    across: list[str] = []
    for copies in (copies for copies in by_digest.values() if len(copies) > 1):
        found = len({split for split, _ in copies})
        (across if found > 1 else inside).append(" = ".join(f"{split}/{name}" for split, name in copies[:3]))
    copies_across = [copies for _, copies in sorted(by_key.items()) if len(copies) > 1]
    leaked = [" and ".join(f"{split}/{name}" for split, name in copies.items()) for copies in copies_across]
    remedy = "keep each in one split: scores are too good otherwise"
    return [
        *find("identical pictures across splits", across, "pictures are in several splits", remedy),
        *find("copies across splits", leaked, "pictures have augmented copies in several splits", "split before augmenting"),
        *find("identical pictures", inside, "pictures occur more than once in their split", "remove the copies, unless they are wanted"),
    ]


def small_boxes(pictures: Sequence[LabeledPicture], image_size: int) -> list[Finding]:
    """Boxes that are too small at `image_size` to be trained on."""
    sides = [
        (min(box.w, box.h) * image_size / max(picture.width, picture.height), f"{picture.path.name}, {box.name}")
        for picture in pictures
        for box in picture.boxes
        if not box.crowd
    ]
    small = [name for side, name in sides if side < MIN_BOX_SIDE]
    in_mosaic = sum(side < MIN_BOX_SIDE / MOSAIC_SIZE for side, _ in sides)
    problem = (
        f"boxes are narrower than {MIN_BOX_SIDE:g} pixels at image size {image_size}; training drops such boxes ({in_mosaic} in a mosaic)"
    )
    if not small and in_mosaic:
        where = f"in a mosaic at image size {image_size}"
        problem = f"boxes are narrower than {MIN_BOX_SIDE:g} pixels {where}, where training drops such boxes"
        small = [name for side, name in sides if side < MIN_BOX_SIDE / MOSAIC_SIZE]
    return find("small boxes", small, problem, "raise data.image_size, or cut the pictures into tiles")


def crowded_pictures(splits: Splits) -> list[Finding]:
    """Pictures with more objects than are usually detected."""
    counts = {p.path.name: len(p.boxes) for pictures in splits.values() for p in pictures if len(p.boxes) > USUAL_MAX_DETECTIONS}
    problem = f"pictures have more than {USUAL_MAX_DETECTIONS} objects"
    remedy = f"set evaluate.max_detections to at least {max(counts.values(), default=0)}, or the others cannot be detected"
    return find("crowded pictures", sorted(counts), problem, remedy)


def small_test_split(classes: Sequence[str], splits: Splits) -> list[Finding]:
    """Test and val splits that are too small to compare models."""
    counts = Counter(box.label for picture in splits["test"] for box in picture.boxes if not box.crowd)
    rare = [f"{name}: {counts[label]}" for label, name in enumerate(classes) if counts[label] < MIN_TEST_OBJECTS]
    few = [] if len(splits["test"]) >= MIN_TEST_PICTURES else [f"pictures: {len(splits['test'])}"]
    empty = [] if splits["val"] else ["no pictures"]
    problem = f"test split has fewer than {MIN_TEST_PICTURES} pictures, so scores vary much"
    return [
        *find("rare classes", rare, f"classes have fewer than {MIN_TEST_OBJECTS} objects in the test split", "add test pictures of them"),
        *find("small test split", few, problem, "add pictures, or raise data.test"),
        *find("empty val split", empty, "val split is empty, so there are no learning curves", "raise data.val"),
    ]
