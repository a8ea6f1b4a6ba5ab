"""The life of models between gate and journal, and that a life that was cut off anywhere goes on to the same end."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from components.register_model.gate.run_gate import GateResult
from mlflow import MlflowClient

from components.params.load import load_params
from components.params.models import Params
from components.register_model import promotion as module
from components.register_model import registry as registry_module
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from components.runtime.tracking import tracking_uri
from kd.errors import InputError
from tests.components.oracles import write_data, write_model
from tests.components.stores import new_store

ROOT = Path(__file__).parents[3]
TAGS = {"kdflow.export_difference": "0.0001", "kdflow.map": "0.5", "kdflow.map50": "0.5", "kdflow.data_digest": "0123abcd"}
WRITES = (
    "create_registered_model", "create_model_version", "set_registered_model_alias", "set_model_version_tag", "update_model_version",
    "delete_model_version", "log_artifact", "log_artifacts",
)  # fmt: skip
Work = Callable[[Promotion], object]


@pytest.fixture(autouse=True)
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
    return load_params(ROOT / "params.yaml", ["register_model.gate.max_latency_ratio=100"])


def run_id() -> str:
    client = MlflowClient(tracking_uri())
    experiment = client.get_experiment_by_name("tests")
    return str(client.create_run(experiment.experiment_id if experiment else client.create_experiment("tests")).info.run_id)


def register_and_judge(params: Params, shares: tuple[float, float], promotion: Promotion | None = None, **model: Any) -> GateResult:
    file = write_model(Path(f"models/{shares}.onnx"), shares, **model)
    gate_result, in_time = (promotion or Promotion(Registry("m"))).register_and_judge(file, run_id(), TAGS, params, Path("data"))
    assert in_time
    return gate_result


def broken(gate_result: GateResult) -> set[str]:
    return {rule_result.rule for rule_result in gate_result.rule_results if not rule_result.passed}


def aliases() -> dict[str, str]:
    return {alias: str(version) for alias, version in MlflowClient(tracking_uri()).get_registered_model("m").aliases.items()}


def test_the_gate_between_challenger_and_champion(params: Params) -> None:
    first = register_and_judge(params, (0.5, 0.5))
    assert first.passed and aliases() == {"challenger": "1", "champion": "1"}
    assert first.facts.challenger.map50 == pytest.approx(0.5, abs=0.01) and first.facts.challenger.map == first.facts.challenger.map50

    equal = register_and_judge(params, (0.5, 0.5), certainty=0.8)
    assert broken(equal) == {"certainty"}, "as good as the champion is not better"
    worse = register_and_judge(params, (0.4, 0.3))
    assert broken(worse) == {"gain", "certainty", "class_drop"}
    collapse = register_and_judge(params, (1.0, 0.3))
    assert broken(collapse) == {"class_drop"} and collapse.facts.challenger.map > first.facts.challenger.map
    large = register_and_judge(params, (0.9, 0.9), ballast=10_000)
    assert broken(large) == {"size"}
    nan = register_and_judge(params, (0.9, float("nan")))
    assert "finite" in broken(nan)
    assert aliases() == {"challenger": "6", "champion": "1"}, "who is rejected keeps its record and changes nothing else"

    better = register_and_judge(params, (0.8, 0.7))
    assert better.passed and aliases() == {"challenger": "7", "champion": "7"}
    registry = Registry("m")
    assert [version.tags["kdflow.gate"] for version in registry.versions()] == ["promote", *["reject"] * 5, "promote"]
    entries = Promotion(registry).journal.entries()
    assert [(e.action, e.previous, e.version) for e in entries if e.action != "register"] == [("promote", "", "1"), ("promote", "1", "7")]


def test_other_classes_are_compared_by_name(params: Params) -> None:
    register_and_judge(params, (0.5, 0.5))
    swapped = register_and_judge(params, (0.9, 0.9), classes=("dog", "cat"))
    assert {"classes", "floor_map", "gain", "class_drop"} < broken(swapped), "its cats are where dogs are"
    more = register_and_judge(params, (0.9, 0.9, 0.1), classes=("cat", "dog", "bird"))
    assert broken(more) == {"classes"}
    assert "(+bird)" in more.reasons[0] and set(more.facts.challenger.per_class) == {"cat", "dog"}


def test_what_is_written_down_with_a_version(params: Params) -> None:
    register_and_judge(params, (0.5, 0.5))
    register_and_judge(params, (0.8, 0.7))
    [_, version] = Registry("m").versions()
    assert version.tags["kdflow.previous_champion"] == "1" and version.tags["kdflow.gate_data_digest"] == "0123abcd"
    assert "certainty" in version.tags["kdflow.gate_rules"] and "mAP changes by +24.3 points" in version.tags["kdflow.gate_reasons"]
    client = MlflowClient(tracking_uri())
    text = client.get_model_version("m", "2").description
    assert "| mAP | 74.8 | 50.5 | +24.3 |" in text and f"get-artifact?path=gate%2Ffound.jpg&run_uuid={version.run_id}" in text
    assert [item.path for item in client.list_artifacts(version.run_id, "gate")] == ["gate/found.jpg"]


def test_the_same_delivery_again_decides_the_same_and_moves_nothing(params: Params) -> None:
    register_and_judge(params, (0.5, 0.5))
    decided = [register_and_judge(params, (0.8, 0.7)) for _ in range(2)]
    assert decided[0].rule_results == decided[1].rule_results and decided[1].reference_version == "1"
    assert len(Promotion(Registry("m")).journal.entries()) == 4
    again = register_and_judge(params, (0.5, 0.5))
    assert (again.version, again.reference_version, again.passed) == ("1", "2", False)
    assert aliases() == {"challenger": "1", "champion": "2"}


def test_rolling_back_twice_and_forcing(params: Params) -> None:
    for shares in ((0.3, 0.3), (0.6, 0.6), (0.9, 0.9)):
        register_and_judge(params, shares)
    promotion = Promotion(Registry("m"))
    assert promotion.rollback("misses bicycles") and aliases()["champion"] == "2"
    again = register_and_judge(params, (0.9, 0.9))
    assert broken(again) == {"rolled_back"} and "Ada took it back (misses bicycles)" in again.reasons[0], "a rollback outlives the next run"
    assert promotion.rollback("misses cars") and aliases()["champion"] == "1"
    with pytest.raises(InputError, match="m: nothing to roll back to: version 1 was the first champion"):
        promotion.rollback("once more")
    assert promotion.force("3", "bicycles are back") and aliases()["champion"] == "3"
    assert promotion.rollback("no") and aliases()["champion"] == "1", "the one before it in the reigns"
    with pytest.raises(InputError, match="version 1: is the champion already"):
        promotion.force("1", "because")
    moves = [(e.action, e.previous, e.version, e.why) for e in promotion.journal.entries() if e.action != "register"][3:]
    assert moves == [
        ("rollback", "3", "2", "misses bicycles"),
        ("rollback", "2", "1", "misses cars"),
        ("force", "1", "3", "bicycles are back"),
        ("rollback", "3", "1", "no"),
    ]


def test_nothing_can_be_rolled_back_before_there_is_a_champion() -> None:
    with pytest.raises(InputError, match="m: nothing to roll back to: there is no champion"):
        Promotion(Registry("m")).rollback("")


def test_a_model_that_cannot_be_loaded_any_more_stops_everything(params: Params) -> None:
    register_and_judge(params, (0.3, 0.3))
    register_and_judge(params, (0.6, 0.6))
    promotion = Promotion(Registry("m"))
    files = {version.number: next(Path("mlruns").rglob(f"{version.run_id}/artifacts/model")) for version in promotion.registry.versions()}
    before = snapshot()
    shutil.rmtree(files["1"])
    for move in (lambda: promotion.rollback("bad"), lambda: promotion.force("1", "it was good")):
        with pytest.raises(InputError, match=r"m version 1: cannot be loaded .*so nothing was changed; put its files back"):
            move()
    next(files["2"].rglob("*.onnx")).write_bytes(b"this is no model")
    with pytest.raises(InputError, match=r"m version 2: cannot be loaded .*so nothing was changed; put its files back"):
        register_and_judge(params, (0.9, 0.9))
    assert snapshot() == before


def test_the_loser_of_a_race_is_told(params: Params) -> None:
    register_and_judge(params, (0.3, 0.3))
    promotion, other = Promotion(Registry("m")), Promotion(Registry("m"))
    file = write_model(Path("models/slow.onnx"), (0.6, 0.6))
    number = promotion.registry.register(file, run_id(), TAGS)
    gate_result = promotion.judge(number, params, Path("data"))
    register_and_judge(params, (0.9, 0.9), other)
    assert gate_result.passed and not promotion.promote(gate_result)
    assert aliases()["champion"] == "3"


# ---- cut off after each call in turn ----


class Mortal:
    """A client that dies by SIGKILL after its `last`-th write."""

    def __init__(self, client: MlflowClient, last: int) -> None:
        self._client, self._left = client, last

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return self._counted(method) if name in WRITES else method

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            answer = method(*arguments, **settings)
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call


def snapshot(uri: str | None = None) -> dict[str, Any]:
    """All that a registry holds; runs by their order, because their ids are drawn."""
    registry = Registry("m", uri)
    runs = {version.run_id: f"run of {version.number}" for version in registry.versions()}
    texts = [registry.client.get_model_version("m", version.number).description or "" for version in registry.versions()]
    for run, name in runs.items():
        texts = [text.replace(run, name) for text in texts]
    journal = Promotion(registry).journal.entries()
    return {
        "versions": [(version.number, version.tags, version.aliases) for version in registry.versions()],
        "texts": texts,
        "moves": [(e.action, e.previous, e.version, e.who, e.why) for e in journal],
        "aliases": {alias: int(version) for alias, version in registry.client.get_registered_model("m").aliases.items()},
        "pictures": [len(registry.client.list_artifacts(run, "gate")) for run in runs],
    }


@pytest.fixture
def quick(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge each pair once, and skip MLflow's packaging: neither writes to the registry."""
    known: dict[tuple[str, str], GateResult] = {}
    judge = module.run_gate

    def remembered(registry: Registry, version: Any, reference_version: str, *rest: Any) -> GateResult:
        key = (version.tags["kdflow.content"], reference_version)
        known[key] = known.get(key) or judge(registry, version, reference_version, *rest)
        return known[key]

    monkeypatch.setattr(module, "run_gate", remembered)
    monkeypatch.setattr(module, "check_loads", lambda *_: None)
    packages: dict[str, Path] = {}
    package = registry_module.package

    def packed(exported: Path, folder: Path) -> None:
        known_folder = packages.setdefault(str(exported), Path(f"packages/{len(packages)}").resolve())
        if not known_folder.exists():
            package(exported, known_folder)
        shutil.copytree(known_folder, folder)

    monkeypatch.setattr(registry_module, "package", packed)


SCENARIOS: dict[str, tuple[list[tuple[float, float]], Callable[[Params], Work]]] = {
    "the first model": ([], lambda params: lambda promotion: register_and_judge(params, (0.5, 0.5), promotion)),
    "a better model": ([(0.3, 0.3)], lambda params: lambda promotion: register_and_judge(params, (0.5, 0.5), promotion)),
    "a worse model": ([(0.8, 0.8)], lambda params: lambda promotion: register_and_judge(params, (0.5, 0.5), promotion)),
    "a rollback": ([(0.3, 0.3), (0.6, 0.6), (0.9, 0.9)], lambda params: lambda promotion: promotion.rollback("bad", "3")),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.usefixtures("quick")
def test_killed_after_any_call_and_run_again_it_ends_the_same(
    scenario: str, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, build = SCENARIOS[scenario]
    work = build(params)
    for shares in before:
        register_and_judge(params, shares)
    shutil.copyfile("mlflow.db", "start.db")

    def attempt(trial: int, last: int = 0) -> int:
        """Run in a process of its own, which dies after write number `last`; its exit code."""
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/{trial}.db")

        def child() -> None:
            registry = Registry("m")
            registry.client = Mortal(registry.client, last)  # type: ignore[assignment]
            work(Promotion(registry))

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        return int(process.exitcode or 0)

    work(Promotion(Registry("m")))  # so that the children inherit the judgements
    shutil.copyfile("start.db", "0.db")
    assert attempt(0) == 0
    clean, died = snapshot(), 0
    for last in range(1, 100):
        shutil.copyfile("start.db", f"{last}.db")
        if attempt(last, last) == 0:
            break
        died += 1
        assert attempt(last) == 0
        assert snapshot() == clean, f"killed after write {last}"
    assert died >= (2 if scenario == "a rollback" else 14)
