"""Scenes of handwritten digits on photographs.

scikit-learn's 1,797 digits (8x8 pixels, ten classes) are drawn onto crops of its two photographs. Training scenes use the
first 1,200 digits and `china.jpg`, test scenes the other 597 and `flower.jpg`: the splits share no digit and no photograph.
Small, faint and overlapping digits among strokes that are not digits make the task hard for a small detector.
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
DIGIT_HEIGHTS = (20, 60)  # pixels in a scene of 128
CONTRAST = (0.45, 0.9)  # of ink against its background, as a fraction of the range from black to white
MAX_OVERLAP = 0.12  # fraction of a digit's ink that may cover the ink of other digits
DISTRACTORS = (0, 1)  # minimum and maximum number in a scene
INK_THRESHOLD = 0.5  # coverage from which a pixel belongs to a digit
MAX_TRIES = 40  # random positions to try before a digit is left out


class Sources(NamedTuple):
    """The input of a split's scenes: digits [n, 8, 8] in 0..16, their classes [n], and a photograph."""

    digits: Floats
    labels: NDArray[np.int64]
    photograph: Image.Image


def load_sources(split: str) -> Sources:
    """The digits and the photograph of `split`, train or test."""
    digits = load_digits()
    chosen = np.array(DIGITS[split])
    photograph = Image.fromarray(load_sample_images().images[PHOTOGRAPHS[split]])
    return Sources(digits.images[chosen], digits.target[chosen], photograph)


def compose_scene(rng: Random, sources: Sources, size: int, objects: Sequence[int]) -> tuple[Image.Image, list[Box]]:
    """A scene of `size` x `size` pixels with objects[0] to objects[1] digits (fewer if there is no room), and their boxes.

    Boxes are tight around the visible ink of a digit.
    """
    canvas = _background(rng, sources.photograph, size)
    instances = np.full((size, size), -1)
    for _ in range(_random_count(rng, DISTRACTORS)):
        strokes = _scramble(sources.digits[rng.integers(len(sources.digits))])
        # with instances of its own, because digits may cover it
        _paste(rng, canvas, np.full_like(instances, -1), _render(rng, strokes, _random_height(rng, size)), -1)
    heights = sorted((_random_height(rng, size) for _ in range(_random_count(rng, objects))), reverse=True)
    labels: list[int] = []
    for height in heights:
        index = rng.integers(len(sources.digits))
        if _paste(rng, canvas, instances, _render(rng, sources.digits[index], height), len(labels)):
            labels.append(int(sources.labels[index]))
    boxes = [_tight_box(instances == instance, label) for instance, label in enumerate(labels)]
    return _add_noise_and_blur(rng, canvas), boxes


def _scramble(digit: Floats) -> Floats:
    """The digit with its quadrants swapped, rotated by 90 degrees: similar strokes, but not a digit."""
    return np.rot90(np.roll(digit, (4, 4), axis=(0, 1)))


def _random_count(rng: Random, limits: Sequence[int]) -> int:
    return int(rng.integers(limits[0], limits[1], endpoint=True))


def _random_height(rng: Random, size: int) -> float:
    return float(np.exp(rng.uniform(*np.log(DIGIT_HEIGHTS)))) * size / 128


def _background(rng: Random, photograph: Image.Image, size: int) -> Floats:
    """A crop of the photograph [size, size, 3] in 0..1, with random rotation, flip, brightness, contrast and colors.

    All scenes of a split share one photograph. Without the color changes a detector would learn its colors instead of the digits.
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


def _render(rng: Random, digit: Floats, height: float) -> Floats:
    """The ink coverage [h, w] in 0..1 of a digit about `height` pixels high, randomly stretched and rotated."""
    shape = (max(6, round(height * rng.uniform(0.8, 1.15))), max(6, round(height)))
    padded = Image.fromarray(np.pad(digit * (255 / 16), 1).astype(np.uint8))
    drawn = padded.resize(shape, Image.Resampling.BICUBIC).rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True)
    return ((np.asarray(drawn, dtype=np.float64) / 255 - 0.25) / 0.35).clip(0, 1)


def _paste(rng: Random, canvas: Floats, instances: NDArray[np.int64], ink: Floats, instance: int) -> bool:
    """Draw `ink` at a random position with little overlap and mark its pixels in `instances`; False if there is no such position."""
    height, width = ink.shape
    inked = ink >= INK_THRESHOLD
    for _ in range(MAX_TRIES):
        top, left = (int(rng.integers(room + 1)) for room in (canvas.shape[0] - height, canvas.shape[1] - width))
        area = np.s_[top : top + height, left : left + width]
        if inked.any() and (instances[area][inked] >= 0).mean() <= MAX_OVERLAP:
            canvas[area] += ink[..., None] * (_ink_color(rng, canvas[area][inked].mean(axis=0)) - canvas[area])
            instances[area][inked] = instance
            return True
    return False


def _ink_color(rng: Random, background: Floats) -> Floats:
    """A random color [3]: lighter than a dark `background` [3], darker than a light one."""
    threshold = rng.uniform(0.3, 0.7)
    sign = 1 if background.mean() < threshold else -1
    color: Floats = background + sign * rng.uniform(*CONTRAST) + rng.uniform(-0.12, 0.12, size=3)
    return color.clip(0, 1)


def _tight_box(inked: NDArray[np.bool_], label: int) -> Box:
    rows, columns = (np.flatnonzero(inked.any(axis=axis)) for axis in (1, 0))
    return Box(label, columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)


def _add_noise_and_blur(rng: Random, canvas: Floats) -> Image.Image:
    noisy = canvas + rng.normal(0, rng.uniform(0, 0.035), size=canvas.shape)
    scene = Image.fromarray((noisy.clip(0, 1) * 255).round().astype(np.uint8))
    return scene.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.6)))
