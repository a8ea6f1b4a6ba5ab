"""Scenes of handwritten digits in photographs.

scikit-learn's 1,797 digits (8x8 pixels, ten classes) are inked onto crops of its two photographs. Training scenes use the
first 1,200 digits and `china.jpg`, test scenes the other 597 and `flower.jpg`: no digit and no photograph is in both.
Small, faint and overlapping digits among strokes that are no digits make it hard for a small detector.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from sklearn.datasets import load_digits, load_sample_images

from components.shared.boxes import Box

Floats = NDArray[np.float64]
Random = np.random.Generator

CLASSES = [str(digit) for digit in range(10)]
DIGITS = {"train": range(1200), "test": range(1200, 1797)}
PHOTOGRAPHS = {"train": 0, "test": 1}  # china.jpg, flower.jpg
HEIGHTS = (20, 60)  # pixels of a digit in a scene of 128
CONTRAST = (0.45, 0.9)  # of ink against its place, in shares of the range from black to white
MOST_HIDDEN = 0.12  # share of a digit's ink that may lie on others' ink
DISTRACTORS = (0, 1)
INK = 0.5  # coverage from which a pixel counts as inked
TRIES = 40  # places tried before a digit is left out


class Sources(NamedTuple):
    """What the scenes of a split are made of: digits [n, 8, 8] 0 to 16, their classes [n], and a photograph."""

    digits: Floats
    labels: NDArray[np.int64]
    photograph: Image.Image


def split_sources(split: str) -> Sources:
    """The digits and the photograph of `split`, train or test."""
    digits = load_digits()
    chosen = np.array(DIGITS[split])
    photograph = Image.fromarray(load_sample_images().images[PHOTOGRAPHS[split]])
    return Sources(digits.images[chosen], digits.target[chosen], photograph)


def compose_scene(rng: Random, sources: Sources, size: int, objects: Sequence[int]) -> tuple[Image.Image, list[Box]]:
    """A scene of `size` x `size` pixels with objects[0] to objects[1] digits (fewer if there is no room), and their boxes.

    A box is the tightest around the digit's ink that nothing covers.
    """
    canvas = _background(rng, sources.photograph, size)
    owners = np.full((size, size), -1)
    for _ in range(_count(rng, DISTRACTORS)):
        shape = _inside_out(sources.digits[rng.integers(len(sources.digits))])
        _paste(rng, canvas, np.full_like(owners, -1), _inked(rng, shape, _height(rng, size)), -1)
    heights = sorted((_height(rng, size) for _ in range(_count(rng, objects))), reverse=True)
    labels: list[int] = []
    for height in heights:
        index = rng.integers(len(sources.digits))
        if _paste(rng, canvas, owners, _inked(rng, sources.digits[index], height), len(labels)):
            labels.append(int(sources.labels[index]))
    boxes = [_tight_box(owners == owner, label) for owner, label in enumerate(labels)]
    return _developed(rng, canvas), boxes


def _inside_out(digit: Floats) -> Floats:
    """The digit with its quarters swapped, lying on its side: the strokes of a digit, but none to read."""
    return np.rot90(np.roll(digit, (4, 4), axis=(0, 1)))


def _count(rng: Random, limits: Sequence[int]) -> int:
    """A number from limits[0] to limits[1], both included."""
    return int(rng.integers(limits[0], limits[1], endpoint=True))


def _height(rng: Random, size: int) -> float:
    return float(np.exp(rng.uniform(*np.log(HEIGHTS)))) * size / 128


def _background(rng: Random, photograph: Image.Image, size: int) -> Floats:
    """A crop of the photograph [size, size, 3], 0 to 1, turned, mirrored, lit and colored at random.

    One photograph has to stand for all: without strange colors a detector learns that photograph instead of the digits.
    """
    side = rng.uniform(0.1, 0.9) * min(photograph.size)
    left, top = (rng.uniform(0, length - side) for length in photograph.size)
    crop = photograph.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    canvas = np.rot90(np.asarray(crop, dtype=np.float64)[:, :: rng.choice((-1, 1))] / 255, int(rng.integers(4)))
    canvas = canvas[..., rng.permutation(3)]
    canvas = 1 - canvas if rng.random() < 0.3 else canvas
    lit = (canvas - 0.5) * rng.uniform(0.6, 1.2) + 0.5 + rng.uniform(-0.15, 0.15)
    colored: Floats = lit * rng.uniform(0.8, 1.2, size=3)
    return colored.clip(0, 1)


def _inked(rng: Random, digit: Floats, height: float) -> Floats:
    """How much ink covers each pixel [h, w], 0 to 1, of a digit drawn about `height` pixels high, stretched and turned a little."""
    shape = (max(6, round(height * rng.uniform(0.8, 1.15))), max(6, round(height)))
    padded = Image.fromarray(np.pad(digit * (255 / 16), 1).astype(np.uint8))
    drawn = padded.resize(shape, Image.Resampling.BICUBIC).rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True)
    return ((np.asarray(drawn, dtype=np.float64) / 255 - 0.25) / 0.35).clip(0, 1)


def _paste(rng: Random, canvas: Floats, owners: NDArray[np.int64], ink: Floats, owner: int) -> bool:
    """Ink a digit onto a place of `canvas` where it hides little, and enter it in `owners`; False if there is no such place."""
    height, width = ink.shape
    inked = ink >= INK
    for _ in range(TRIES):
        top, left = (int(rng.integers(room + 1)) for room in (canvas.shape[0] - height, canvas.shape[1] - width))
        place = np.s_[top : top + height, left : left + width]
        if inked.any() and (owners[place][inked] >= 0).mean() <= MOST_HIDDEN:
            canvas[place] += ink[..., None] * (_ink_color(rng, canvas[place][inked].mean(axis=0)) - canvas[place])
            owners[place][inked] = owner
            return True
    return False


def _ink_color(rng: Random, ground: Floats) -> Floats:
    """A color [3] that is lighter or darker than `ground` [3], wherever there is more room, and tinted."""
    room = rng.uniform(0.3, 0.7)
    sign = 1 if ground.mean() < room else -1
    color: Floats = ground + sign * rng.uniform(*CONTRAST) + rng.uniform(-0.12, 0.12, size=3)
    return color.clip(0, 1)


def _tight_box(inked: NDArray[np.bool_], label: int) -> Box:
    rows, columns = (np.flatnonzero(inked.any(axis=axis)) for axis in (1, 0))
    return Box(label, columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)


def _developed(rng: Random, canvas: Floats) -> Image.Image:
    """The canvas as a photograph, slightly out of focus and grainy."""
    grainy = canvas + rng.normal(0, rng.uniform(0, 0.035), size=canvas.shape)
    scene = Image.fromarray((grainy.clip(0, 1) * 255).round().astype(np.uint8))
    return scene.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.6)))
