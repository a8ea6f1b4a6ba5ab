"""Information maps over training pictures."""

from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from PIL import Image
from torch import Tensor

from components.report.examples import spread
from components.report.pictures import Shown, fitted, shown
from kd.data.dataset import DetectionData
from kd.distillation.cartographer import tap_names
from kd.distillation.map_store import MapStore

BRIGHTEST = 3.0
"""The importance, as a multiple of the picture's mean, from which on colours are as bright as they get."""
COLOURS = "inferno"
COUNT = 4


class Heat(NamedTuple):
    """Maps at every tap; `rows` holds for each training picture the picture itself and its map at each tap."""

    reading: str
    legend: str
    rows: list[list[Shown]]


def heat_maps(train: DetectionData, maps: Path) -> Heat:
    """The maps of training pictures with objects, at even steps through the split.

    Raises:
        InputError: if the maps are missing or belong to another number of pictures.
    """
    taps = tap_names(MapStore(maps, [], None).about["strides"])
    store = MapStore(maps, taps, len(train))
    busy = [index for index in range(len(train)) if len(train.objects(index)[1])]
    rows = []
    for index in spread(busy, COUNT):
        picture, stored = fitted(Image.fromarray(train.square(index)[0].permute(1, 2, 0).numpy())), store[index]
        overlays = [shown(tap.replace("_", ", stride "), overlay(picture, stored[tap])) for tap in taps]
        rows.append([shown("training picture", picture), *overlays])
    return Heat(store.about["reading"], _legend(), rows)


def overlay(picture: Image.Image, importance: Tensor) -> Image.Image:
    """A map [h, w] in colours over the grey picture; each cell keeps its edges, because that is how coarse the map is."""
    colours = mpl.colormaps[COLOURS]((importance.numpy() / BRIGHTEST).clip(0, 1))[..., :3]
    cells = Image.fromarray(np.round(colours * 255).astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
    return Image.blend(picture.convert("L").convert("RGB"), cells, 0.6)


def _legend() -> str:
    """The colours from 0 to `BRIGHTEST`, as stops of a CSS gradient."""
    return ", ".join(mpl.colors.to_hex(mpl.colormaps[COLOURS](step / 8)) for step in range(9))
