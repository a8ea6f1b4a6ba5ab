"""A store with test pictures, and challengers for the gate."""

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from components.params.load import load_params
from components.params.models import Params
from components.register_model.gate.run_gate import GateResult
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from components.runtime.store import tracking_uri
from tests.components.stores import new_store
from tests.components.stub_models import create_run, write_data, write_model

ROOT = Path(__file__).parents[3]
TAGS = {"kdflow.export_difference": "0.0001", "kdflow.map": "0.5", "kdflow.map50": "0.5", "kdflow.data_digest": "of other pictures"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an empty store and test pictures."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("KDFLOW_USER", "Ada")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)
    write_data(tmp_path / "data")
    return tmp_path


@pytest.fixture
def params() -> Params:
    return load_params(ROOT / "params.yaml", ["register_model.gate.max_latency_ratio=100", "register_model.gate.min_pictures=40"])


def register_challenger(params: Params, shares: tuple[float, float], promotion: Promotion | None = None, **model: Any) -> GateResult:
    file = write_model(Path(f"models/{shares}.onnx"), shares, **model)
    gate_result, in_time = (promotion or Promotion(Registry("m"))).register_challenger(file, create_run(), TAGS, params, Path("data"))
    assert in_time
    return gate_result


def failed_rules(gate_result: GateResult) -> set[str]:
    return {result.rule for result in gate_result.rule_results if not result.passed}


def aliases() -> dict[str, str]:
    return {alias: str(version) for alias, version in MlflowClient(tracking_uri()).get_registered_model("m").aliases.items()}


def snapshot(uri: str | None = None) -> dict[str, Any]:
    """The content of a registry, with random run ids replaced by version numbers."""
    registry = Registry("m", uri)
    runs = {version.run_id: f"run of {version.number}" for version in registry.versions()}
    descriptions = [registry.client.get_model_version("m", version.number).description or "" for version in registry.versions()]
    for run, name in runs.items():
        descriptions = [text.replace(run, name) for text in descriptions]
    journal = Promotion(registry).journal.entries()
    return {
        "versions": [(version.number, version.tags, version.aliases) for version in registry.versions()],
        "descriptions": descriptions,
        "moves": [(e.action, e.previous, e.version, e.who, e.why) for e in journal],
        "aliases": {alias: int(version) for alias, version in registry.client.get_registered_model("m").aliases.items()},
        "pictures": [len(registry.client.list_artifacts(run, "gate")) for run in runs],
    }
