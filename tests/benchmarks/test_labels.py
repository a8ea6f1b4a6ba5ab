"""Data of which only a part of the training pictures has labels."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.labels import write_labels
from kd.data.dataset import DetectionData, find_unlabelled
from kd.errors import InputError
from kd.files import digest, read_json
from tests.kd.train.squares import SIDE


def test_every_training_picture_is_in_one_part_and_the_others_are_unchanged(squares: Path, tmp_path: Path) -> None:
    write_labels(squares, 0.5, True, tmp_path / "half")
    whole = DetectionData(squares / "train", SIDE)
    train, others = DetectionData(tmp_path / "half/train", SIDE), find_unlabelled(tmp_path / "half", SIDE)
    assert others and len(train) == len(others) == len(whole) // 2
    assert sorted([*train.ids, *others.ids]) == sorted(whole.ids) and train.ids == sorted(train.ids)
    for index, picture in enumerate(train.ids):
        assert train.objects(index)[0].tolist() == whole.objects(whole.ids.index(picture))[0].tolist()
        assert train.open(index).read() == whole.open(whole.ids.index(picture)).read()
    assert all(len(others.objects(index)[1]) == 0 for index in range(len(others)))
    assert digest(tmp_path / "half/test/annotations.json") == digest(squares / "test/annotations.json")
    before, after = (read_json(folder / "summary.json") for folder in (squares, tmp_path / "half"))
    assert before["digest"] != after["digest"] and before["anchors"] != after["anchors"] and before["classes"] == after["classes"]
    write_labels(squares, 0.5, False, tmp_path / "same anchors")
    assert read_json(tmp_path / "same anchors/summary.json")["anchors"] == before["anchors"]


def test_a_larger_fraction_keeps_the_labels_of_the_smaller(squares: Path, tmp_path: Path) -> None:
    parts = []
    for fraction in (0.5, 0.75):
        write_labels(squares, fraction, True, tmp_path / str(fraction))
        parts.append(set(DetectionData(tmp_path / str(fraction) / "train", SIDE).ids))
    assert parts[0] < parts[1] and len(parts[1]) == 6


def test_a_class_without_labels_and_data_that_have_such_pictures_are_refused(squares: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(squares, tmp_path / "copy"))
    content = read_json(squares / "train/annotations.json")
    content["annotations"] = [row for row in content["annotations"] if row["category_id"] == 1]
    (copy / "train/annotations.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"--labels: no label of 'blue' is left; give a larger fraction"):
        write_labels(copy, 0.5, True, tmp_path / "none")
    write_labels(squares, 0.5, True, tmp_path / "half")
    with pytest.raises(InputError, match="has pictures without labels already"):
        write_labels(tmp_path / "half", 0.5, True, tmp_path / "again")
