"""The table in the terminal."""

import json
from pathlib import Path

import pytest

from pipeline.results import main, tracking_line
from tests.components.trained import write_outputs

SCORES = {"teacher": (0.9, 0.7, 61_000_000), "baseline": (0.5, 0.3, 8_000_000), "student": (0.6, 0.35, 8_000_000)}


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of scores, in a working folder with models and test pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_outputs(tmp_path)
    file = tmp_path / "outputs/evaluate/metrics.json"
    file.parent.mkdir()
    content = {name: {"map50": map50, "map": score, "parameters": count} for name, (map50, score, count) in SCORES.items()}
    file.write_text(json.dumps(content | {"gain": {"map50": 0.1, "map": 0.05, "gap_closed": 0.25}}))
    return file


def test_the_table_shows_scores_latencies_and_where_to_continue(metrics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    shown = capsys.readouterr().out
    [distilled] = [line for line in shown.splitlines() if "Distilled student" in line]
    cells = [cell.strip() for cell in distilled.replace("┃", "│").split("│") if cell.strip()]
    assert cells[1:4] == ["60.0", "35.0", "8,000,000"] and float(cells[4]) > 0
    assert "Distillation gains 10.0 points of mAP50. That closes 25% of the gap to the teacher." in shown
    assert "outputs/evaluate/report.html" in shown
    assert f"mlflow ui --backend-store-uri sqlite:///{Path.cwd()}/mlflow.db" in shown
    assert "kdflow predict outputs/distill_student/model.safetensors PICTURES" in shown


def test_the_baseline_is_optional(metrics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(metrics.read_text())
    metrics.write_text(json.dumps({name: content[name] for name in ("teacher", "student")}))
    main([])
    shown = capsys.readouterr().out
    assert "Teacher" in shown and "Distilled student" in shown and "Baseline" not in shown
    assert "The distilled student reaches 60.0 points of mAP50. The baseline was not trained" in shown


def test_help_names_the_command_and_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "usage: kdflow results" in shown and "--outputs PATH" in shown


@pytest.mark.parametrize(
    ("uri", "line"),
    [
        ("https://user:secret@runs.example.org/x", "open https://***@runs.example.org/x"),
        ("postgresql://user:secret@db/runs", "mlflow ui --backend-store-uri postgresql://***@db/runs"),
    ],
)
def test_credentials_are_masked(monkeypatch: pytest.MonkeyPatch, uri: str, line: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking_line() == line


@pytest.mark.parametrize("missing", ["evaluate/metrics.json", "distill_student/model.safetensors", "prepare_data/test/annotations.json"])
def test_a_missing_output_is_reported(metrics: Path, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("outputs", missing).unlink()
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert f"outputs/{missing}: is missing" in capsys.readouterr().err


def test_a_file_without_scores_is_refused(metrics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics.write_text("{}")
    with pytest.raises(SystemExit):
        main([])
    assert "metrics.json: lacks one of teacher" in capsys.readouterr().err
