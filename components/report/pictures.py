"""The report's pictures: what each model found, and where the information lies."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from kd.data.dataset import DetectionData
from kd.data.pictures import read_picture
from kd.detection.decode import Detections
from kd.distillation.cartographer import tap_names
from kd.distillation.map_store import MapStore
from kd.distillation.mapping import STRIDES
from kd.draw import draw, draw_boxes

SHOWN = 0.3
"""Least score of a box that is drawn."""
SIDE = 256
"""Long side of a shown picture in pixels."""


class Shown(NamedTuple):
    """A picture with its caption; `source` is a data URI."""

    caption: str
    source: str


@dataclass(frozen=True)
class Example:
    """One test picture as every model sees it."""

    name: str
    verdict: str
    shown: list[Shown]


def examples(test: DetectionData, found: Mapping[str, list[Detections]], count: int) -> list[Example]:
    """The pictures on which the distilled student differs most from the student alone: half better, half worse where there are any."""
    alone, distilled = found["Student alone"], found["Student distilled"]
    gains = [_hits(distilled[i], *test.objects(i)) - _hits(alone[i], *test.objects(i)) for i in range(len(test))]
    order = sorted(range(len(test)), key=lambda i: (-gains[i], i))
    worse = [i for i in reversed(order) if gains[i] < 0][: count // 2]
    better = [i for i in order if i not in worse][: count - len(worse)]
    return [_example(test, found, i, gains[i]) for i in better + worse]


def map_examples(train: DetectionData, maps: Path, count: int) -> list[list[Shown]]:
    """A row for each of `count` training pictures: the picture, then its map at every tap laid over it."""
    taps = tap_names(STRIDES)
    store = MapStore(maps, taps, len(train))
    rows = []
    for index in range(0, len(train), max(1, len(train) // count))[:count]:
        picture = Image.fromarray(train.square(index)[0].permute(1, 2, 0).numpy()).resize((SIDE, SIDE))
        stored = store[index]
        overlays = [Shown(tap.replace("_", ", stride "), _uri(_heat(picture, stored[tap]))) for tap in taps]
        rows.append([Shown("picture", _uri(picture)), *overlays])
    return rows


def _hits(found: Detections, boxes: Tensor, labels: Tensor) -> int:
    """Objects that a shown box of their class finds (IoU 0.5), less the shown boxes beyond them."""
    shown = found.scores >= SHOWN
    if not len(boxes) or not shown.any():
        return -int(shown.sum())
    same = labels[:, None] == found.labels[shown][None]
    hits = int(((box_iou(boxes, found.boxes[shown]) >= 0.5) & same).any(dim=1).sum())
    return hits - (int(shown.sum()) - hits)


def _example(test: DetectionData, found: Mapping[str, list[Detections]], index: int, gain: int) -> Example:
    picture = read_picture(test.files[index])
    scale = SIDE / max(picture.size)
    small = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    boxes, labels = test.objects(index)
    rows = zip((boxes * scale).tolist(), labels.tolist(), strict=True)
    shown = [Shown("labelled", _uri(draw_boxes(small, [(box, label, test.classes[label]) for box, label in rows])))]
    for title, finds in found.items():
        sure = finds[index].scores >= SHOWN
        kept = Detections(finds[index].boxes[sure] * scale, finds[index].scores[sure], finds[index].labels[sure])
        shown.append(Shown(title, _uri(draw(small, kept, test.classes))))
    verdict = "the distilled student is better" if gain > 0 else "the student alone is better" if gain < 0 else "both students are alike"
    return Example(test.files[index].name, verdict, shown)


def _heat(picture: Image.Image, importance: Tensor) -> Image.Image:
    """The map [h, w] over the grey picture: dark is 0, bright is three times the mean or more."""
    level = torch.nn.functional.interpolate(importance[None, None], size=(SIDE, SIDE), mode="nearest")[0, 0].clamp(0, 3) / 3
    colours = Image.fromarray((mpl.colormaps["inferno"](level.numpy())[..., :3] * 255).astype(np.uint8))
    return Image.blend(picture.convert("L").convert("RGB"), colours, 0.6)


def _uri(picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
