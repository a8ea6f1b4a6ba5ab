"""The step `compose_scenes`: its output, and that train and test are independent."""

import json

import numpy as np
import pytest
from PIL import Image

from components.compose_scenes.scenes import CLASSES, load_sources
from components.compose_scenes.step import compose_scenes
from kd.errors import InputError
from kd.files import atomic_folder, digest


@pytest.fixture
def compose(run, params_with, tmp_path):
    def composed(*changes, output="scenes"):
        with atomic_folder(tmp_path / output) as folder:
            compose_scenes(params_with("compose_scenes.train=6", "compose_scenes.test=4", *changes), run, output=folder)
        return tmp_path / output

    return composed


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


def test_the_number_of_digits_is_in_the_given_range(compose, run):
    folder = compose("compose_scenes.objects=[2, 3]", "compose_scenes.train=30")
    content = json.loads((folder / "train" / "annotations.json").read_text())
    counts = {image["id"]: 0 for image in content["images"]}
    for annotation in content["annotations"]:
        counts[annotation["image_id"]] += 1
    assert set(counts.values()) == {2, 3}
    assert run.of("metrics")[0][0] == {"train_pictures": 30, "train_boxes": sum(counts.values())}


def test_equal_parameters_give_equal_bytes(compose):
    assert digest(compose()) == digest(compose(output="again"))
    assert digest(compose()) != digest(compose("compose_scenes.seed=8", output="other"))


def test_more_scenes_do_not_change_the_first_ones(compose):
    few, more = compose(), compose("compose_scenes.train=9", output="more")
    for file in (few / "train" / "images").iterdir():
        assert file.read_bytes() == (more / "train" / "images" / file.name).read_bytes()


def test_scenes_depend_only_on_the_sources_of_their_split(monkeypatch, compose):
    loaded = []
    monkeypatch.setattr("components.compose_scenes.step.load_sources", lambda split: loaded.append(split) or load_sources(split))
    before = digest(compose() / "test")
    assert loaded == ["train", "test"]

    def other_train(split):
        sources = load_sources(split)
        return sources._replace(digits=np.zeros((1200, 8, 8)) + 16) if split == "train" else sources

    monkeypatch.setattr("components.compose_scenes.step.load_sources", other_train)
    changed = compose(output="changed")
    assert digest(changed / "test") == before


def test_train_and_test_use_different_random_numbers(monkeypatch, compose):
    train = load_sources("train")
    monkeypatch.setattr("components.compose_scenes.step.load_sources", lambda split: train)
    folder = compose()
    for file in (folder / "test" / "images").iterdir():
        assert file.read_bytes() != (folder / "train" / "images" / file.name).read_bytes()


def test_a_reversed_range_is_rejected(compose, tmp_path):
    with pytest.raises(InputError, match=r"'compose_scenes\.objects' is \[5, 2\]: the minimum is above the maximum"):
        compose("compose_scenes.objects=[5, 2]")
    assert not (tmp_path / "scenes").exists()
