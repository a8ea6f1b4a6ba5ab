"""Pictures without labels: prepared as a split of their own, and refused where a model is scored on them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from components.params.models import Params
from components.prepare_data.check import main as check
from components.prepare_data.step import prepare_data
from components.runtime.command import run_step
from kd.data.dataset import DetectionData
from kd.errors import InputError
from tests.components.prepared import annotations, contents, summary


@pytest.fixture
def labelled(writers: dict[str, Any], data: Any) -> Path:
    return Path(writers["coco"](data))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, one in a subfolder, and files that are none."""
    folder = tmp_path / "more"
    (folder / "deeper").mkdir(parents=True)
    for number, name in enumerate(("x.png", "deeper/x.png", "y.bmp")):
        Image.new("RGB", (40 + number, 30), (20 * number, 90, 10)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_text("no picture either")
    return folder


def test_they_become_a_split_without_boxes(labelled: Path, folder: Path, prepare: Callable[..., Path], run: Any) -> None:
    prepared = prepare(labelled, f"data.unlabelled={folder}")
    found = annotations(prepared, "unlabelled")
    assert found["annotations"] == [] and found["categories"] == annotations(prepared, "train")["categories"]
    sizes = {image["file_name"][-5:]: (image["width"], image["height"]) for image in found["images"]}
    assert len(found["images"]) == 3 and sizes["y.bmp"] == (42, 30)
    split = DetectionData(prepared / "unlabelled", 64)
    assert {split.open(index).read() for index in range(3)} == {file.read_bytes() for file in folder.rglob("[xy].*")}
    part = summary(prepared)["splits"]["unlabelled"]
    assert part["pictures"] == part["empty_pictures"] == 3 and part["boxes"] == 0
    assert [entry[:2] for entry in run.of("dataset")] == [(str(labelled), str(labelled)), (str(folder), str(folder))]
    assert run.of("dataset")[1][2] == summary(prepared)["digest"]


def test_the_other_splits_do_not_change_and_the_version_does(labelled: Path, folder: Path, prepare: Callable[..., Path]) -> None:
    without, with_them = prepare(labelled, output="without"), prepare(labelled, f"data.unlabelled={folder}", output="with")
    rest = {name: content for name, content in contents(with_them).items() if not name.startswith("unlabelled/")}
    assert rest.keys() == contents(without).keys()
    assert {name for name in rest if rest[name] != contents(without)[name]} == {"summary.json"}
    changed = {key for key, value in summary(with_them).items() if value != summary(without)[key]}
    assert changed == {"digest", "splits"} and "unlabelled" not in summary(without)["splits"]
    Image.new("RGB", (9, 9)).save(folder / "z.png")
    assert summary(prepare(labelled, f"data.unlabelled={folder}"))["digest"] != summary(with_them)["digest"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_pictures_that_a_model_is_scored_on_are_refused(labelled: Path, folder: Path, prepare: Callable[..., Path], split: str) -> None:
    """By content: also under another name and in another format."""
    scored = sorted((labelled / split / "images").iterdir())
    Image.open(scored[0]).save(folder / "renamed.png")
    message = rf"data.unlabelled: 1 picture is also in the val or test split \(renamed.png = {split}/{scored[0].name}\); remove them"
    with pytest.raises(InputError, match=message):
        prepare(labelled, f"data.unlabelled={folder}", output="refused")
    assert not list(folder.parent.rglob("out/*"))


def test_copies_are_left_out_and_said(labelled: Path, folder: Path, prepare: Callable[..., Path], capsys: Any) -> None:
    shutil.copy(folder / "y.bmp", folder / "z.bmp")
    shutil.copy(labelled / "train/images/a.jpg", folder)
    prepared = prepare(labelled, f"data.unlabelled={folder}")
    assert len(annotations(prepared, "unlabelled")["images"]) == 3
    line = "2 pictures without labels occur more than once or are in train; left out (a.jpg, z.bmp); remove the copies"
    assert line in capsys.readouterr().err
    assert "copies without labels" in {warning["check"] for warning in summary(prepared)["warnings"]}


def test_augmented_copies_of_test_pictures_are_said(labelled: Path, folder: Path, prepare: Callable[..., Path], edit_json: Any) -> None:
    name, copy = (f"f_jpg.rf.{digit * 32}.jpg" for digit in "12")
    (labelled / "test/images/f.jpg").rename(labelled / "test/images" / name)
    edit_json(labelled / "test/annotations.json", lambda content: content["images"][0].update(file_name=name))
    shutil.copy(folder / "y.bmp", folder / copy.replace(".jpg", ".bmp"))
    (folder / "y.bmp").unlink()
    warnings = {warning["check"]: warning["examples"] for warning in summary(prepare(labelled, f"data.unlabelled={folder}"))["warnings"]}
    assert "augmented copies without labels" not in warnings  # another extension, so another picture
    shutil.move(folder / copy.replace(".jpg", ".bmp"), folder / copy)
    warnings = {
        warning["check"]: warning["examples"]
        for warning in summary(prepare(labelled, f"data.unlabelled={folder}", output="again"))["warnings"]
    }
    assert warnings["augmented copies without labels"] == [f"{copy} and test/{name}"]


def test_pictures_that_cannot_be_decoded(labelled: Path, folder: Path, prepare: Callable[..., Path]) -> None:
    (folder / "broken.jpg").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"data.unlabelled: 1 picture cannot be decoded: .*broken\.jpg"):
        prepare(labelled, f"data.unlabelled={folder}")
    prepared = prepare(labelled, f"data.unlabelled={folder}", "data.skip_unreadable=true")
    assert len(annotations(prepared, "unlabelled")["images"]) == 3


def test_a_folder_without_pictures_of_its_own_is_refused(labelled: Path, tmp_path: Path, prepare: Callable[..., Path]) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copytree(labelled / "train/images", tmp_path / "same")
    for name, problem in (("empty", "has no pictures"), ("same", "are in the train split"), ("none", "is missing"), ("a.txt", "is not a")):
        (tmp_path / "a.txt").write_text("x")
        with pytest.raises(InputError, match=f"data.unlabelled: .*{name}' {problem}"):
            prepare(labelled, f"data.unlabelled={tmp_path / name}")


def test_the_output_is_not_written_into_the_folder(
    labelled: Path, folder: Path, params_with: Callable[..., Params], execution_one: None
) -> None:
    with pytest.raises(InputError, match=r"is inside the input data\.unlabelled"):
        run_step(prepare_data, params_with(f"data.path={labelled}", f"data.unlabelled={folder}"), output=folder / "out")


def test_the_command_checks_them_too(labelled: Path, folder: Path, capsys: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        check([str(labelled), "--unlabelled", str(folder), "--image-size", "64", "--out", str(tmp_path / "drawn.jpg")])
    assert "3 unlabelled" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        check([str(labelled), "--unlabelled", str(tmp_path / "none"), "--image-size", "64"])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and "none: " in error and "data.unlabelled" not in error


def test_check_overwrites_no_picture_that_is_left_out(labelled: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copy(folder / "x.png", folder / "z.png"))
    before = copy.read_bytes()
    with pytest.raises(SystemExit) as stopped:
        check([str(labelled), "--unlabelled", str(folder), "--out", str(copy)])
    assert stopped.value.code == 2 and copy.read_bytes() == before
    assert f"z.png: is a file in the dataset {folder}, and would be replaced" in capsys.readouterr().err
