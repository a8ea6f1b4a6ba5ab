"""Information maps drawn over training pictures."""

from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from PIL import Image
from torch import Tensor

from components.evaluate.report.examples import evenly_spaced
from components.evaluate.report.pictures import EmbeddedPicture, embed, resize
from kd.data.dataset import DetectionData
from kd.distillation.map_store import MapStore, read_index
from kd.model.spec import taps_at

MAX_IMPORTANCE = 3.0
"""The importance, relative to the picture's mean, that gets the brightest color."""
COLORMAP = "inferno"
PICTURES = 4


class MapOverlays(NamedTuple):
    """Maps at every tap.

    Attributes:
        method: how the maps were computed.
        legend: the colors from 0 to `MAX_IMPORTANCE`, as stops of a CSS gradient.
        rows: for each training picture the picture itself and its map at each tap.
    """

    method: str
    legend: str
    rows: list[list[EmbeddedPicture]]


def map_overlays(train: DetectionData, maps: Path, unlabelled: int = 0) -> MapOverlays:
    """The maps of training pictures with objects, evenly spaced through the split.

    Args:
        train: the training split.
        maps: output of compute_info_maps.
        unlabelled: number of pictures without labels, which have maps, too.

    Raises:
        InputError: if the maps are missing, or are of another number of pictures.
    """
    index = read_index(maps)
    store = MapStore(maps, taps_at(index["strides"]), len(train) + unlabelled)
    with_objects = [picture for picture in range(len(train)) if len(train.objects(picture)[1])]
    rows = []
    for number in evenly_spaced(with_objects, PICTURES):
        picture, info_maps = resize(Image.fromarray(train.letterboxed(number)[0].permute(1, 2, 0).numpy())), store[number]
        overlays = [embed(f"{tap.part}, stride {tap.stride}", overlay(picture, info_map)) for tap, info_map in info_maps.items()]
        rows.append([embed("training picture", picture), *overlays])
    return MapOverlays(index["method"], _legend(), rows)


def overlay(picture: Image.Image, info_map: Tensor) -> Image.Image:
    """A map [h, w] in colors over the picture in gray, without interpolation, so that its resolution shows."""
    colors = mpl.colormaps[COLORMAP]((info_map.numpy() / MAX_IMPORTANCE).clip(0, 1))[..., :3]
    cells = Image.fromarray(np.round(colors * 255).astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
    return Image.blend(picture.convert("L").convert("RGB"), cells, 0.6)


def _legend() -> str:
    return ", ".join(mpl.colors.to_hex(mpl.colormaps[COLORMAP](step / 8)) for step in range(9))
