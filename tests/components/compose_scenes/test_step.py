"""The embedded data set: what is in it, that boxes are tight, and that training never sees what is tested."""

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from components.compose_scenes.step import CLASSES, DIGITS, compose_scene, compose_scenes, split_sources
from kd.errors import InputError
from kd.files import atomic_folder, digest


@pytest.fixture
def compose(run, params_with, tmp_path):
    def composed(*changes, output="scenes"):
        with atomic_folder(tmp_path / output) as folder:
            compose_scenes(params_with("compose_scenes.train=6", "compose_scenes.test=4", *changes), run, output=folder)
        return tmp_path / output

    return composed


@pytest.fixture
def without_ink_noise(monkeypatch):
    """Scenes on black ground in white ink without grain, blur or distractors."""
    monkeypatch.setattr("components.compose_scenes.step._background", lambda rng, photograph, size: np.zeros((size, size, 3)))
    monkeypatch.setattr("components.compose_scenes.step._ink_color", lambda rng, ground: np.ones(3))
    monkeypatch.setattr("components.compose_scenes.step._developed", lambda rng, canvas: Image.fromarray((canvas * 255).astype(np.uint8)))
    monkeypatch.setattr("components.compose_scenes.step.DISTRACTORS", (0, 0))


def test_writes_coco(compose):
    folder = compose("compose_scenes.size=96")
    for split, count in (("train", 6), ("test", 4)):
        content = json.loads((folder / split / "annotations.json").read_text())
        assert [category["name"] for category in content["categories"]] == CLASSES == [str(digit) for digit in range(10)]
        assert [image["id"] for image in content["images"]] == list(range(1, count + 1))
        for image in content["images"]:
            with Image.open(folder / split / "images" / image["file_name"]) as picture:
                assert (picture.size, picture.format) == ((96, 96), "JPEG")
        for annotation in content["annotations"]:
            x, y, w, h = annotation["bbox"]
            assert 0 <= x < x + w <= 96
            assert 0 <= y < y + h <= 96
            assert min(w, h) >= 2


def test_every_scene_has_as_many_digits_as_asked_for(compose, run):
    folder = compose("compose_scenes.objects=[2, 3]", "compose_scenes.train=30")
    content = json.loads((folder / "train" / "annotations.json").read_text())
    counts = {image["id"]: 0 for image in content["images"]}
    for annotation in content["annotations"]:
        counts[annotation["image_id"]] += 1
    assert set(counts.values()) == {2, 3}
    assert run.of("metrics")[0][0] == {"train_pictures": 30, "train_boxes": sum(counts.values())}


def test_same_parameters_give_the_same_bytes(compose):
    assert digest(compose()) == digest(compose(output="again"))
    assert digest(compose()) != digest(compose("compose_scenes.seed=8", output="other"))


def test_more_scenes_keep_those_before(compose):
    few, more = compose(), compose("compose_scenes.train=9", output="more")
    for file in (few / "train" / "images").iterdir():
        assert file.read_bytes() == (more / "train" / "images" / file.name).read_bytes()


def test_train_and_test_share_no_digit_and_no_photograph():
    assert not set(DIGITS["train"]) & set(DIGITS["test"])
    everything = load_digits()
    for split in ("train", "test"):
        sources = split_sources(split)
        assert np.array_equal(sources.digits, everything.images[list(DIGITS[split])])
        assert np.array_equal(sources.labels, everything.target[list(DIGITS[split])])
        assert set(sources.labels) == set(range(10))
    china, flower = load_sample_images().images
    assert np.array_equal(split_sources("train").photograph, china)
    assert np.array_equal(split_sources("test").photograph, flower)


def test_scenes_are_made_of_their_split_alone(monkeypatch, compose):
    asked = []
    real = split_sources
    monkeypatch.setattr("components.compose_scenes.step.split_sources", lambda split: asked.append(split) or real(split))
    before = digest(compose() / "test")
    assert asked == ["train", "test"]

    def other_train(split):
        return real(split)._replace(digits=np.zeros((1200, 8, 8)) + 16) if split == "train" else real(split)

    monkeypatch.setattr("components.compose_scenes.step.split_sources", other_train)
    changed = compose(output="changed")
    assert digest(changed / "test") == before


def test_train_and_test_scenes_are_not_composed_alike(monkeypatch, compose):
    train = split_sources("train")
    monkeypatch.setattr("components.compose_scenes.step.split_sources", lambda split: train)
    folder = compose()
    for file in (folder / "test" / "images").iterdir():
        assert file.read_bytes() != (folder / "train" / "images" / file.name).read_bytes()


@pytest.mark.parametrize("seed", range(8))
def test_a_box_is_tight_around_its_ink(without_ink_noise, seed):
    scene, (box,) = compose_scene(np.random.default_rng(seed), split_sources("train"), 128, [1, 1])
    rows, columns = np.nonzero(np.asarray(scene)[..., 0] >= 127)
    assert (box.x, box.y) == (columns.min(), rows.min())
    assert (box.x + box.w, box.y + box.h) == (columns.max() + 1, rows.max() + 1)


@pytest.mark.parametrize("seed", range(4))
def test_boxes_hold_all_the_ink_between_them(without_ink_noise, seed):
    scene, boxes = compose_scene(np.random.default_rng(seed), split_sources("test"), 128, [5, 9])
    inked = np.asarray(scene)[..., 0] >= 127
    for box in boxes:
        inked[box.y : box.y + box.h, box.x : box.x + box.w] = False
    assert len(boxes) >= 5
    assert not inked.any()


def test_labels_are_those_of_the_digits_drawn(without_ink_noise):
    sources = split_sources("train")
    only_sevens = sources._replace(digits=sources.digits[sources.labels == 7], labels=sources.labels[sources.labels == 7])
    _, boxes = compose_scene(np.random.default_rng(0), only_sevens, 128, [4, 4])
    assert [box.label for box in boxes] == [7, 7, 7, 7]


def test_a_crowded_scene_leaves_digits_out_rather_than_hide_them(without_ink_noise):
    _, boxes = compose_scene(np.random.default_rng(0), split_sources("train"), 64, [80, 80])
    assert 5 < len(boxes) < 80


def test_refuses_a_range_upside_down(compose, tmp_path):
    with pytest.raises(InputError, match=r"compose_scenes\.objects: \[5, 2\] is no range"):
        compose("compose_scenes.objects=[5, 2]")
    assert not (tmp_path / "scenes").exists()
