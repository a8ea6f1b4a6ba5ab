import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.params.explain import explain, main

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "params.yaml"


@pytest.fixture
def content() -> Any:
    return yaml.safe_load(COMMITTED.read_text())


def test_every_parameter_is_explained(content: Any) -> None:
    rows = {row.name: row for row in explain(content)}
    assert set(rows) == set(_names(content))
    assert all(len(row.description) > 5 and row.allowed for row in rows.values())
    assert rows["student.train.epochs"][1:3] == (str(content["student"]["train"]["epochs"]), "integer >= 1, <= 1e+09")
    assert rows["compose_scenes.objects"][1:3] == (str(content["compose_scenes"]["objects"]), "list of 2 integer >= 1, <= 1e+09")
    assert rows["augment.mosaic"].allowed == "number >= 0, <= 1"
    assert rows["distill.taps"].value == "[backbone, neck]"
    assert rows["teacher.classes"][1:3] == ("{}", "{text: text, ...}")


def _names(content: dict[str, Any], prefix: str = "") -> list[str]:
    return [
        name
        for key, value in content.items()
        for name in (_names(value, f"{prefix}{key}.") if isinstance(value, dict) and key != "classes" else [f"{prefix}{key}"])
    ]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[[Path], tuple[int, list[str], str]]:
    """Run the command on a parameter file; returns its exit code, the lines of its output and its errors."""

    def command(file: Path) -> tuple[int, list[str], str]:
        code = 0
        try:
            main(["--params", str(file)])
        except SystemExit as exit:
            code = int(exit.code or 0)
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return command


def test_the_command_explains_an_invalid_file_as_well(content: Any, run: Callable[..., Any], tmp_path: Path) -> None:
    code, lines, errors = run(COMMITTED)
    assert code == 0 and errors == ""
    epochs = str(content["teacher"]["train"]["epochs"])
    assert any(line.split()[:2] == ["teacher.train.epochs", epochs] for line in lines)
    del content["augment"]["mosaic"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    code, lines, errors = run(tmp_path / "mine.yaml")
    assert code == 2 and errors.count("\n") == 1
    assert "parameter 'augment.mosaic' is missing" in errors
    assert any(line.split()[:2] == ["augment.mosaic", "(missing)"] for line in lines)


def test_the_package_is_the_command() -> None:
    completed = subprocess.run([sys.executable, "-m", "components.params", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert completed.stdout.startswith("usage: kdflow params ") and "examples:\n  kdflow params\n" in completed.stdout
