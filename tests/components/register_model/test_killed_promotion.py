"""A promotion or rollback that was killed at any point ends the same when it is run again."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from components.params.models import Params
from components.register_model import promotion as promotion_module
from components.register_model import registry as registry_module
from components.register_model.gate.run_gate import GateResult
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from tests.components.register_model.conftest import register_challenger, snapshot

WRITES = (
    "create_registered_model", "create_model_version", "set_registered_model_alias", "set_model_version_tag", "update_model_version",
    "delete_model_version", "log_artifact", "log_artifacts", "set_registered_model_tag",
)  # fmt: skip
Work = Callable[[Promotion], object]
pytestmark = pytest.mark.usefixtures("folder")


class KilledClient:
    """A client whose process is killed after its `last`-th write."""

    def __init__(self, client: MlflowClient, last: int) -> None:
        self._client, self._left = client, last

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return self._counted(method) if name in WRITES else method

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            result = method(*arguments, **settings)
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call


@pytest.fixture
def quick(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the gate once per pair of versions and package each model once, because neither writes to the registry."""
    results: dict[tuple[str, str], GateResult] = {}
    run_gate = promotion_module.run_gate

    def cached_gate(registry: Registry, version: Any, reference_version: str, *rest: Any) -> GateResult:
        key = (version.tags["kdflow.content"], reference_version)
        results[key] = results.get(key) or run_gate(registry, version, reference_version, *rest)
        return results[key]

    monkeypatch.setattr(promotion_module, "run_gate", cached_gate)
    monkeypatch.setattr(promotion_module, "load_version", lambda *_: None)
    packages: dict[str, Path] = {}
    package = registry_module.package

    def cached_package(exported: Path, folder: Path) -> None:
        cached_folder = packages.setdefault(str(exported), Path(f"packages/{len(packages)}").resolve())
        if not cached_folder.exists():
            package(exported, cached_folder)
        shutil.copytree(cached_folder, folder)

    monkeypatch.setattr(registry_module, "package", cached_package)


SCENARIOS: dict[str, tuple[list[tuple[float, float]], Callable[[Params], Work]]] = {
    "the first model": ([], lambda params: lambda promotion: register_challenger(params, (0.5, 0.5), promotion)),
    "a better model": ([(0.3, 0.3)], lambda params: lambda promotion: register_challenger(params, (0.5, 0.5), promotion)),
    "a worse model": ([(0.8, 0.8)], lambda params: lambda promotion: register_challenger(params, (0.5, 0.5), promotion)),
    "a rollback": ([(0.3, 0.3), (0.6, 0.6), (0.9, 0.9)], lambda params: lambda promotion: promotion.rollback("bad", "3")),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.usefixtures("quick")
def test_after_a_kill_at_any_write_running_again_gives_the_same_result(
    scenario: str, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, build = SCENARIOS[scenario]
    work = build(params)
    for shares in before:
        register_challenger(params, shares)
    shutil.copyfile("mlflow.db", "start.db")

    def attempt(trial: int, last: int = 0) -> int:
        """Run in a new process, which is killed after write number `last`; return its exit code."""
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/{trial}.db")

        def child() -> None:
            registry = Registry("m")
            registry.client = KilledClient(registry.client, last)  # type: ignore[assignment]
            work(Promotion(registry))

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        return int(process.exitcode or 0)

    work(Promotion(Registry("m")))  # so that the child processes inherit the gate results
    shutil.copyfile("start.db", "0.db")
    assert attempt(0) == 0
    expected, killed = snapshot(), 0
    for last in range(1, 100):
        shutil.copyfile("start.db", f"{last}.db")
        if attempt(last, last) == 0:
            break
        killed += 1
        assert attempt(last) == 0
        assert snapshot() == expected, f"killed after write {last}"
    assert killed >= (2 if scenario == "a rollback" else 14)
