"""A stored map, warped with its picture, is the map that the teacher would draw on the warped picture.

How far that holds for a trained teacher is the teacher's matter: its features know the border and the size of things. The
teacher here has no such knowledge (its kernels look at one place, and average four pixels where they halve the sides) and the
pictures are smooth, so that what remains is the warp's own error.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from kd.data.augment import AugmentConfig
from kd.data.batch import Batch
from kd.data.dataset import DetectionData
from kd.data.letterbox import GREY
from kd.data.loader import TrainingDataset
from kd.data.placement import Placement, to_tensor, warp_boxes
from kd.detection.decode import flatten_heads
from kd.distillation import info_map
from kd.distillation.compute_maps import letterboxed_batches, write_info_maps
from kd.distillation.map_generator import InfoMapGenerator
from kd.distillation.map_store import MapStore, load_statistics
from kd.distillation.response_loss import teacher_detections
from kd.model.build import Network, build_model
from kd.model.spec import Tap, taps_at
from tests.kd.data.augmented import augmented, compose
from tests.kd.train.squares import CLASSES, spec_for
from tests.packed import pack

SIDE, PICTURES = 256, 4
TAP = Tap("backbone", 16)
SPEC = spec_for("yolov3", SIDE)
PLACEMENTS = {
    "flip": Placement(0, (-1.0, 1.0)),
    "zoom": Placement(0, (0.7, 0.7), (0.2, -0.1)),
    "shrink and shift": Placement(0, (1.5, 1.5), (0.5, 0.0)),
    "flip and zoom": Placement(0, (-0.8, 0.8), (0.1, 0.15)),
}


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> DetectionData:
    """Pictures of soft colored blobs on grey, away from the middle, where a flip would not show."""
    folder = tmp_path_factory.mktemp("blobs")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    truth: dict = {"images": [], "annotations": [], "categories": [{"id": i, "name": n} for i, n in enumerate(CLASSES, 1)]}
    y, x = np.mgrid[:SIDE, :SIDE]
    for picture in range(PICTURES):
        canvas = np.full((SIDE, SIDE, 3), 128.0)
        for label, (at_x, at_y) in enumerate([(75 + 6 * picture, 90), (100, 160 + 4 * picture)]):
            canvas += rng.uniform(-110, 110, 3) * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 2 / 25**2)[..., None]
            bbox = [at_x - 32, at_y - 32, 64, 64]
            row = {"id": 2 * picture + label, "image_id": picture, "category_id": label + 1, "bbox": bbox, "area": 4096, "iscrowd": 0}
            truth["annotations"].append(row)
        Image.fromarray(canvas.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{picture}.png")
        truth["images"].append({"id": picture, "file_name": f"{picture}.png", "width": SIDE, "height": SIDE})
    (folder / "annotations.json").write_text(json.dumps(truth))
    return DetectionData(pack(folder), SIDE)


@pytest.fixture(scope="module")
def whole(blobs: DetectionData) -> Batch:
    return next(iter(letterboxed_batches(blobs, PICTURES, torch.device("cpu"), "")))


@pytest.fixture(scope="module")
@torch.no_grad()
def teacher(whole: Batch) -> Network:
    network = build_model(SPEC, 1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            middle = module.weight[:, :, 1:2, 1:2].clone()
            module.weight.zero_()
            reach = module.stride[0]
            module.weight[:, :, 1 : 1 + reach, 1 : 1 + reach] = middle / reach**2
    network.train()(whole.pictures)
    return network.eval()


def stored(teacher: Network, blobs: DetectionData, method: str, folder: Path) -> tuple[MapStore, InfoMapGenerator]:
    write_info_maps(teacher, SPEC, blobs, method, 3, folder, {"data": "d"})
    taps = taps_at(teacher.strides)
    generator = InfoMapGenerator(teacher, SPEC, method, taps, load_statistics(folder, taps))
    return MapStore(folder, taps, PICTURES), generator


@pytest.mark.parametrize("method", info_map.METHODS)
def test_equal_maps_are_stored_once(teacher: Network, blobs: DetectionData, whole: Batch, tmp_path: Path, method: str) -> None:
    store, generator = stored(teacher, blobs, method, tmp_path)
    maps = generator(whole)
    equal = all(torch.equal(maps[Tap("backbone", stride)], maps[Tap("neck", stride)]) for stride in teacher.strides)
    taps = taps_at(teacher.strides)
    assert len(set(store.names.values())) == len(list(tmp_path.glob("*[0-9].npy"))) == (len(teacher.strides) if equal else len(taps))
    assert equal == (method in ("confidence", "mask", "uniform"))
    for tap in taps:
        torch.testing.assert_close(store[1][tap], maps[tap][1], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("method", info_map.METHODS)
def test_pictures_without_labels_get_maps_after_those_with_labels(
    teacher: Network, blobs: DetectionData, whole: Batch, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as with labels, but for the methods that read these: there, the teacher's detections are the objects."""
    monkeypatch.setattr("kd.distillation.response_loss.CONFIDENCE", 0.05)  # the teacher is not trained
    (tmp_path / "both").mkdir()
    (tmp_path / "plain").mkdir()
    plain, generator = stored(teacher, blobs, method, tmp_path / "plain")
    more = Path(shutil.copytree(blobs.folder, tmp_path / "unlabelled"))
    (more / "annotations.json").write_text(json.dumps(blobs.ground_truth | {"annotations": []}))
    write_info_maps(teacher, SPEC, blobs, method, 3, tmp_path / "both", {}, DetectionData(more, SIDE))
    both = MapStore(tmp_path / "both", [TAP], 2 * PICTURES)
    objects = teacher_detections(flatten_heads(teacher(whole.pictures).heads, SPEC.anchors)).objects()
    assert len(objects[0]) > PICTURES
    detected = Batch(whole.pictures, *objects, {})
    expected = generator(detected)[TAP]
    for index in range(PICTURES):
        assert torch.equal(both[index][TAP], plain[index][TAP])
        torch.testing.assert_close(both[PICTURES + index][TAP], expected[index], rtol=2e-3, atol=2e-3)
    differs = not torch.allclose(both[PICTURES][TAP], plain[0][TAP], atol=0.01)
    assert differs == (method in ("mask", "gradient"))
    for file in (tmp_path / "plain").glob("*.statistics.npy"):
        assert file.read_bytes() == (tmp_path / "both" / file.name).read_bytes()


@pytest.mark.parametrize("method", info_map.METHODS)
def test_stored_maps_are_the_live_ones_of_the_same_picture(
    teacher: Network, blobs: DetectionData, whole: Batch, tmp_path: Path, method: str
) -> None:
    store, generator = stored(teacher, blobs, method, tmp_path)
    live = generator(whole)
    assert {key: value for key, value in store.metadata.items() if key != "files"} == {"data": "d", "method": method, "pictures": PICTURES}
    for index in range(PICTURES):
        for tap, importance in store[index].items():
            difference = (importance - live[tap][index]).abs()
            # beside half precision: where an activation is almost 0, rounding chooses its slope
            assert difference.mean() < (5e-3 if method == "gradient" else 1e-3)


def moved(whole: Batch, index: int, placement: Placement) -> Batch:
    own = whole.batch_index == index
    boxes, kept = warp_boxes(whole.boxes[own], to_tensor([placement], 1), SIDE)
    picture = compose([whole.pictures[index]], [placement], GREY)
    return Batch(picture[None], boxes, whole.labels[own][kept], torch.zeros(len(boxes), dtype=torch.int64), {})


def level(importance: Tensor, inside: Tensor) -> Tensor:
    """The places whose source lies in the picture, with mean one."""
    return importance[inside] / importance[inside].mean()


def agreement(one: Tensor, other: Tensor) -> tuple[float, float]:
    """Correlation, and mean absolute difference."""
    return float(torch.corrcoef(torch.stack([one, other]))[0, 1]), float((one - other).abs().mean())


@pytest.mark.parametrize("move", PLACEMENTS)
@pytest.mark.parametrize("method", ["activation", "mask", "entropy"])
def test_warped_maps_are_the_live_ones_of_the_warped_picture(
    teacher: Network, blobs: DetectionData, whole: Batch, tmp_path: Path, method: str, move: str
) -> None:
    store, generator = stored(teacher, blobs, method, tmp_path)
    placement = PLACEMENTS[move]
    columns: dict[Tap, list[tuple[Tensor, Tensor, Tensor]]] = {}
    for index in range(PICTURES):
        live = generator(moved(whole, index, placement))
        for tap, importance in store[index].items():
            inside = compose([torch.ones_like(importance)[None]], [placement], 0.0)[0] > 0.99
            followed = compose([importance[None]], [placement], 0.0)[0]
            columns.setdefault(tap, []).append(tuple(level(m, inside) for m in (followed, live[tap][0], importance)))
    for tap, rows in columns.items():
        followed, live, left = (torch.cat(column) for column in zip(*rows, strict=True))
        correlation, difference = agreement(followed, live)
        correlation_left, difference_left = agreement(left, live)
        # a flip needs no interpolation; a zoom of 8 x 8 cells does, and blurs them
        assert (correlation > 0.999 and difference < 1e-3) if move == "flip" else (correlation > 0.7 and difference < 0.55), tap
        assert correlation_left < 0.4 and difference < 0.55 * difference_left, f"{tap}: a map that stays behind passes, too"


class Brightness:
    """Stored maps that show what is in the picture."""

    def __init__(self, blobs: DetectionData) -> None:
        self.blobs = blobs

    def __getitem__(self, index: list[int]) -> dict[Tap, Tensor]:
        return {TAP: torch.stack([seen(self.blobs.letterboxed(picture)[0].float() / 255) for picture in index])}


def seen(picture: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(picture.mean(dim=0, keepdim=True) - GREY, 16)[0]


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_the_loader_moves_maps_as_it_moves_pictures(blobs: DetectionData, mosaic: float) -> None:
    samples = TrainingDataset(blobs, AugmentConfig(mosaic, flip=0.5, scale=0.3, translate=0.15), 10, 0, Brightness(blobs))
    for epoch in range(5):
        batch = augmented(samples, *((epoch, (epoch + number) % PICTURES) for number in range(4)))
        correlation, _ = agreement(batch.maps[TAP][0].flatten(), seen(batch.pictures[0]).flatten())
        assert correlation > 0.95
