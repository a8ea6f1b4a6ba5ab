"""Scenes: their digits and photographs, and that boxes are tight."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from components.compose_scenes.scenes import DIGITS, compose_scene, load_sources


@pytest.fixture
def plain_scenes(monkeypatch):
    """Scenes with white ink on black, without noise, blur or distractors."""
    scenes = "components.compose_scenes.scenes"
    monkeypatch.setattr(f"{scenes}._background", lambda rng, photograph, size: np.zeros((size, size, 3)))
    monkeypatch.setattr(f"{scenes}._ink_color", lambda rng, background: np.ones(3))
    monkeypatch.setattr(f"{scenes}._add_noise_and_blur", lambda rng, canvas: Image.fromarray((canvas * 255).astype(np.uint8)))
    monkeypatch.setattr(f"{scenes}.DISTRACTORS", (0, 0))


def test_train_and_test_share_no_digit_and_no_photograph():
    assert not set(DIGITS["train"]) & set(DIGITS["test"])
    everything = load_digits()
    for split in ("train", "test"):
        sources = load_sources(split)
        assert np.array_equal(sources.digits, everything.images[list(DIGITS[split])])
        assert np.array_equal(sources.labels, everything.target[list(DIGITS[split])])
        assert set(sources.labels) == set(range(10))
    china, flower = load_sample_images().images
    assert np.array_equal(load_sources("train").photograph, china)
    assert np.array_equal(load_sources("test").photograph, flower)


@pytest.mark.parametrize("seed", range(8))
def test_a_box_is_tight_around_its_ink(plain_scenes, seed):
    scene, (box,) = compose_scene(np.random.default_rng(seed), load_sources("train"), 128, [1, 1])
    rows, columns = np.nonzero(np.asarray(scene)[..., 0] >= 127)
    assert (box.x, box.y) == (columns.min(), rows.min())
    assert (box.x + box.w, box.y + box.h) == (columns.max() + 1, rows.max() + 1)


@pytest.mark.parametrize("seed", range(4))
def test_all_ink_is_inside_a_box(plain_scenes, seed):
    scene, boxes = compose_scene(np.random.default_rng(seed), load_sources("test"), 128, [5, 9])
    inked = np.asarray(scene)[..., 0] >= 127
    for box in boxes:
        inked[box.y : box.y + box.h, box.x : box.x + box.w] = False
    assert len(boxes) >= 5
    assert not inked.any()


def test_labels_are_the_classes_of_the_digits(plain_scenes):
    sources = load_sources("train")
    only_sevens = sources._replace(digits=sources.digits[sources.labels == 7], labels=sources.labels[sources.labels == 7])
    _, boxes = compose_scene(np.random.default_rng(0), only_sevens, 128, [4, 4])
    assert [box.label for box in boxes] == [7, 7, 7, 7]


def test_digits_without_room_are_left_out(plain_scenes):
    _, boxes = compose_scene(np.random.default_rng(0), load_sources("train"), 64, [80, 80])
    assert 5 < len(boxes) < 80
