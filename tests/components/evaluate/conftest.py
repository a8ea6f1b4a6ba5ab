"""The outputs of the steps before `evaluate`, and the step itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.evaluate.step import evaluate
from components.params.models import Params
from tests.components.trained import write_outputs


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)
    return write_outputs(tmp_path)


@pytest.fixture
def params(params_with: Callable[..., Params]) -> Params:
    return params_with("evaluate.pictures=3", "evaluate.max_detections=30")


@pytest.fixture
def evaluated(outputs: dict[str, Path], params: Params, run: Any) -> Callable[..., Path]:
    """Run the step; return its output folder."""

    def once(name: str = "evaluated") -> Path:
        output = outputs["data"].parent / name
        output.mkdir()
        evaluate(params, run, **outputs, output=output)
        return output

    return once
