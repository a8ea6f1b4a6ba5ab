"""`kdflow check`: exit codes, findings and the drawn picture."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from components.prepare_data.check import main
from tests.components.conftest import save_picture

ROOT = Path(__file__).parents[3]


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


@pytest.fixture
def clean():
    boxes = [(0, 2, 2, 20, 20), (1, 4, 4, 16, 16)]
    sizes = {"train": 12, "val": 4, "test": 50}
    return {split: {f"{split}{i}": (32 + i, 40, boxes) for i in range(count)} for split, count in sizes.items()}


def test_clean_data(writers, clean, tmp_path, capsys):
    main([str(writers["coco"](clean)), "--out", str(tmp_path / "check.jpg")])
    assert capsys.readouterr().out == "66 pictures, 2 classes: 12 train, 4 val, 50 test\nnothing is doubtful\n"
    assert not (tmp_path / "check.jpg").exists()


def test_doubtful_data(writers, clean, tmp_path, capsys):
    clean["train"]["train5"] = (40, 40, [(0, 2, 2, 20, 20), (0, 2, 2, 20, 20), (1, 4, 4, 16, 16)])
    folder = writers["voc"](clean)
    broken = next(folder.rglob("train3.jpg"))
    broken.write_bytes(broken.read_bytes()[:200])
    assert run(folder, "--skip-unreadable", "--out", tmp_path / "check.jpg") == 1
    out = capsys.readouterr().out
    assert "- 1 picture cannot be decoded; dropped (train3.jpg: " in out
    assert "- 1 box has the class and the corners of another box; dropped (train5.jpg" in out
    assert out.endswith(f"drawn: {tmp_path / 'check.jpg'}\n")
    with Image.open(tmp_path / "check.jpg") as drawn:
        assert drawn.size == (4 * 320, 24 + 320), "one row with a title"


def test_invalid_data(tmp_path, capsys):
    assert run(tmp_path / "nowhere", "--out", tmp_path / "check.jpg") == 2
    assert capsys.readouterr().err.startswith("error: ") and not (tmp_path / "check.jpg").exists()


def test_the_picture_of_an_earlier_check_is_replaced(writers, clean, monkeypatch):
    clean["train"]["train5"] = (40, 40, [(0, 2, 2, 20, 20), (0, 2, 2, 20, 20), (1, 4, 4, 16, 16)])
    folder = writers["voc"](clean)
    monkeypatch.chdir(folder)
    for _ in range(2):
        assert run(Path()) == 1
    assert (folder / ".check.jpg").is_file() and not (folder / "check.jpg").exists()


def test_the_picture_of_a_check_does_not_become_a_part_of_the_dataset(tmp_path, monkeypatch, capsys):
    for number in range(30):
        save_picture(tmp_path / f"p{number}.jpg", 40, 40)
        (tmp_path / f"p{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n" * 2)
    (tmp_path / "classes.txt").write_text("cat\n")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run(Path()) == 1
        assert "30 pictures, 1 class" in capsys.readouterr().out


def test_an_undecodable_picture_is_an_error_as_in_prepare_data(writers, clean, tmp_path, capsys):
    folder = writers["voc"](clean)
    next(folder.rglob("train3.jpg")).write_bytes(b"no picture")
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    given = (folder, "--out", tmp_path / "check.jpg")
    for options in ((), ("--params", tmp_path / "params.yaml")):
        assert run(*given, *options) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f"error: {folder}: 1 picture cannot be decoded: ") and error.endswith("or add --skip-unreadable")
        assert "train3.jpg (it is not a picture of a known format)" in error
    skipping = (ROOT / "params.yaml").read_text().replace("skip_unreadable: false", "skip_unreadable: true")
    (tmp_path / "params.yaml").write_text(skipping)
    assert run(*given, "--params", tmp_path / "params.yaml") == 1
    assert "train3.jpg: it is not a picture of a known format" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("out", "problem"),
    [
        ("", "--out '.': is not the name of a JPEG or PNG file; give a name that ends with .jpg or .png"),
        ("notes.txt", "notes.txt': is not the name of a JPEG or PNG file"),
        ("coco/train/annotations.json", "annotations.json': is not the name of a JPEG or PNG file"),
        ("coco/train/images/train1.jpg", "train1.jpg: is a file in the dataset "),
        ("folder.jpg", "folder.jpg: is not a file"),
        ("pipe.jpg", "pipe.jpg: is not a file"),
        ("null.png", "null.png: is not a file"),
        ("notes.txt/a.jpg", "notes.txt: is a file, not a folder; choose another --out"),
    ],
)
def test_no_file_but_a_former_drawing_is_overwritten(writers, clean, tmp_path, capsys, monkeypatch, out, problem):
    monkeypatch.chdir(tmp_path)
    writers["coco"](clean)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "null.png").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe.jpg")
    names = sorted(tmp_path.rglob("*"))
    before = {path: path.read_bytes() for path in names if path.is_file()}
    assert run("coco", "--out", out) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and problem in error
    assert sorted(tmp_path.rglob("*")) == names and {path: path.read_bytes() for path in before} == before


def test_a_linked_picture_of_the_dataset_is_not_overwritten(writers, clean, tmp_path, capsys):
    clean["train"]["train5"] = (40, 40, [(0, 2, 2, 20, 20), (0, 2, 2, 20, 20), (1, 4, 4, 16, 16)])
    picture = writers["coco"](clean) / "train/images/train1.jpg"
    picture.rename(tmp_path / "stored.jpg")
    picture.symlink_to(tmp_path / "stored.jpg")
    before = (tmp_path / "stored.jpg").read_bytes()
    assert run(tmp_path / "coco", "--out", tmp_path / "stored.jpg") == 2
    assert "stored.jpg: is a picture of the dataset" in capsys.readouterr().err and (tmp_path / "stored.jpg").read_bytes() == before


@pytest.mark.parametrize(("name", "drawn_as"), [("check.jpg", "JPEG"), ("check.JPEG", "JPEG"), ("new/check.png", "PNG")])
def test_the_suffix_is_the_format(writers, clean, tmp_path, name, drawn_as):
    clean["train"]["train5"] = (40, 40, [(0, 2, 2, 20, 20), (0, 2, 2, 20, 20), (1, 4, 4, 16, 16)])
    folder = writers["coco"](clean)
    for _ in range(2):
        assert run(folder, "--out", tmp_path / name) == 1
    with Image.open(tmp_path / name) as drawn:
        assert drawn.format == drawn_as


def test_messages_name_what_the_command_line_gave(writers, clean, tmp_path, capsys):
    folder = writers["coco"](clean)
    assert run(tmp_path / "nowhere", "--out", tmp_path / "check.jpg") == 2
    assert run(folder, "--layout", "voc", "--out", tmp_path / "check.jpg") == 2
    assert run(tmp_path, "--out", tmp_path / "check.jpg") == 2
    assert run(folder, "--params", folder) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 4 and "data." not in errors.replace("data.yaml", "").replace("obj.data", "").replace("data.md", "")
    assert "correct FOLDER or --layout" in errors and "; give its folder coco" in errors
    assert f"error: {folder}: Is a directory; give a file, not a folder\n" in errors


def test_pillows_warnings_are_not_printed(writers, clean, tmp_path):
    """A picture with damaged EXIF data makes Pillow warn with the path of its source."""
    folder = writers["coco"](clean)
    picture = folder / "train/images/train1.jpg"
    with Image.open(picture) as image:
        image.load()
    # a TIFF header with one entry whose value is beyond the end
    image.save(picture, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\xff\0\0\0\xff\xff\0\0")
    command = [sys.executable, "-m", "components.prepare_data.check", str(folder), "--out", str(tmp_path / "check.jpg")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and "nothing is doubtful" in done.stdout
