"""`kdflow check`: exit codes, findings and the drawn picture."""

import pytest
from PIL import Image

from components.prepare_data.check import main


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
    assert run(folder, "--out", tmp_path / "check.jpg") == 1
    out = capsys.readouterr().out
    assert "- 1 pictures cannot be decoded; dropped (train3.jpg); replace them\n" in out
    assert "- 1 boxes have the class and the corners of another box; dropped (train5.jpg" in out
    assert out.endswith(f"drawn: {tmp_path / 'check.jpg'}\n")
    with Image.open(tmp_path / "check.jpg") as drawn:
        assert drawn.size == (4 * 320, 24 + 320), "one row with a title"


def test_invalid_data(tmp_path, capsys):
    assert run(tmp_path / "nowhere", "--out", tmp_path / "check.jpg") == 2
    assert capsys.readouterr().err.startswith("error: ") and not (tmp_path / "check.jpg").exists()
