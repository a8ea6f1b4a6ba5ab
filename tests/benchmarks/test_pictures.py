"""The pictures for the documentation."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.pictures import curves, main, picture_of, scores_by_epoch, sheet
from components.evaluate.report.pictures import embed
from kd.errors import InputError
from tests.benchmarks.conftest import ROOT
from tests.components.trained import write_outputs

HISTORY = [{"epoch": 1.0}, {"epoch": 2.0, "val_map50": 0.2}, {"epoch": 4.0, "val_map50": 0.4}]
OTHER = [{"epoch": 1.0}, {"epoch": 2.0, "val_map50": 0.3}, {"epoch": 3.0, "val_map50": 0.9}, {"epoch": 4.0, "val_map50": 0.1}]


def test_everything_is_drawn_from_the_outputs_of_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_outputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    main(["--params", str(ROOT / "params.yaml"), "--cases", "3", "--output", "drawn"])
    sizes = {file.name: Image.open(file).size for file in (tmp_path / "drawn").iterdir()}
    assert set(sizes) == {"learning_curves.png", "maps.jpg", "cases.jpg"}
    assert sizes["maps.jpg"][0] > 5 * 300 and sizes["cases.jpg"][1] > 3 * 300
    counts = capsys.readouterr().out.splitlines()[0].replace(",", "").split()
    assert sum(int(word) for word in counts if word.isdigit()) == 6  # every test picture is better, worse or alike


def test_missing_models_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    write_outputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["--params", str(ROOT / "params.yaml"), "--student", "nowhere", "--output", "drawn"])
    assert capsys.readouterr().err.startswith("error: nowhere/history.csv: is missing")
    assert not (tmp_path / "drawn").exists()


def test_curves_take_the_epochs_that_all_seeds_scored() -> None:
    epochs, scores = scores_by_epoch([HISTORY, OTHER])
    assert epochs == [2.0, 4.0]
    assert sorted(scores[0]) == pytest.approx([20, 30]) and sorted(scores[1]) == pytest.approx([10, 40])
    [axes] = curves({"teacher": [HISTORY], "student": [HISTORY, OTHER]}).axes
    np.testing.assert_allclose(np.asarray(axes.lines[1].get_ydata()), [25, 25])


def test_curves_need_a_val_split() -> None:
    with pytest.raises(InputError, match="no scores of the val split"):
        scores_by_epoch([[{"epoch": 1.0}]])


def test_a_sheet_shows_every_picture_with_its_caption() -> None:
    pictures = [[embed(f"{row} {column}", Image.new("RGB", (40, 30), (0, 100 * column, 0))) for column in (1, 2)] for row in "ab"]
    figure = sheet([("first", pictures[0]), ("second", pictures[1])])
    assert [axes.get_title() for axes in figure.axes] == ["a 1", "a 2", "b 1", "b 2"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["first", "", "second", ""]
    green = picture_of(pictures[0][1]).getpixel((20, 15))
    assert picture_of(pictures[0][1]).size == (40, 30) and abs(green[1] - 200) < 4
