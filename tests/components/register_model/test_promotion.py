"""Promotions and rollbacks, and that one that was killed at any point ends the same when it is run again."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from components.params.load import load_params
from components.params.models import Params
from components.register_model import promotion as promotion_module
from components.register_model import registry as registry_module
from components.register_model.gate.run_gate import GateResult
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from components.runtime.store import tracking_uri
from kd.errors import InputError
from tests.components.stores import new_store
from tests.components.stub_models import create_run, write_data, write_model

ROOT = Path(__file__).parents[3]
TAGS = {"kdflow.export_difference": "0.0001", "kdflow.map": "0.5", "kdflow.map50": "0.5", "kdflow.data_digest": "of other pictures"}
WRITES = (
    "create_registered_model", "create_model_version", "set_registered_model_alias", "set_model_version_tag", "update_model_version",
    "delete_model_version", "log_artifact", "log_artifacts", "set_registered_model_tag",
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


def test_only_better_challengers_become_champion(params: Params) -> None:
    first = register_challenger(params, (0.5, 0.5))
    assert first.passed and aliases() == {"challenger": "1", "champion": "1"}
    assert first.inputs.challenger.map50 == pytest.approx(0.5, abs=0.01) and first.inputs.challenger.map == first.inputs.challenger.map50

    equal = register_challenger(params, (0.5, 0.5), score=0.8)
    assert failed_rules(equal) == {"certainty"}, "an equal model is not better"
    worse = register_challenger(params, (0.4, 0.3))
    assert failed_rules(worse) == {"gain", "certainty", "class_drop"}
    collapse = register_challenger(params, (1.0, 0.3))
    assert failed_rules(collapse) == {"class_drop"} and collapse.inputs.challenger.map > first.inputs.challenger.map
    large = register_challenger(params, (0.9, 0.9), extra_weights=10_000)
    assert failed_rules(large) == {"size"}
    nan = register_challenger(params, (0.9, float("nan")))
    assert "finite" in failed_rules(nan)
    assert aliases() == {"challenger": "6", "champion": "1"}, "a rejected version stays registered and changes nothing else"

    better = register_challenger(params, (0.8, 0.7))
    assert better.passed and aliases() == {"challenger": "7", "champion": "7"}
    registry = Registry("m")
    assert [version.tags["kdflow.gate"] for version in registry.versions()] == ["promote", *["reject"] * 5, "promote"]
    entries = Promotion(registry).journal.entries()
    assert [(e.action, e.previous, e.version) for e in entries if e.action != "register"] == [("promote", "", "1"), ("promote", "1", "7")]


def test_related_pictures_count_once(params: Params) -> None:
    register_challenger(params, (0.5, 0.5))
    gate = params.register_model.gate.model_copy(update={"group_pattern": r"(\d)\.png"})
    grouped = params.model_copy(update={"register_model": params.register_model.model_copy(update={"gate": gate})})
    result = register_challenger(grouped, (0.8, 0.8))
    assert failed_rules(result) == {"sample"} and "10 groups of test pictures are less than 40" in result.reasons[0]
    gate = gate.model_copy(update={"group_pattern": "(video)"})
    grouped = params.model_copy(update={"register_model": params.register_model.model_copy(update={"gate": gate})})
    with pytest.raises(InputError, match=r"0\.png: does not match '\(video\)' \(register_model.gate.group_pattern\)"):
        register_challenger(grouped, (0.9, 0.9))


def manual(params: Params) -> Params:
    gate = params.register_model.gate.model_copy(update={"approval": "manual"})
    return params.model_copy(update={"register_model": params.register_model.model_copy(update={"gate": gate})})


def test_a_version_that_passes_waits_for_its_approval(params: Params) -> None:
    register_challenger(params, (0.5, 0.5))
    pending = [register_challenger(manual(params), shares) for shares in ((0.7, 0.7), (0.8, 0.8))]
    assert [(result.passed, result.decision, result.to_json()["decision"]) for result in pending] == [(True, "pending", "pending")] * 2
    assert register_challenger(manual(params), (0.3, 0.3)).decision == "reject"
    promotion = Promotion(Registry("m"))
    assert aliases()["champion"] == "1" and promotion.registry.version("2").tags["kdflow.gate"] == "pending"
    with pytest.raises(InputError, match=r"m version 4: does not wait for an approval \(gate: reject\)"):
        promotion.approve("4", "no")
    assert promotion.approve("3", "better at night") and aliases()["champion"] == "3"
    assert promotion.registry.version("3").tags["kdflow.gate"] == "promote"
    entry = promotion.journal.entries()[-1]
    assert (entry.action, entry.previous, entry.version, entry.who) == ("promote", "1", "3", "Ada")
    assert entry.why.startswith("approved: better at night; mAP changes by +")
    with pytest.raises(InputError, match="m version 2: was compared with version 1, but the champion is version 3"):
        promotion.approve("2", "too late")
    again = register_challenger(manual(params), (0.8, 0.8))
    assert again.decision == "promote" and promotion.registry.version("3").tags["kdflow.gate"] == "promote", "it is approved already"


def test_an_approval_that_was_interrupted_is_completed(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    register_challenger(manual(params), (0.5, 0.5))
    promotion = Promotion(Registry("m"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(promotion.registry, "set_tags", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        promotion.approve("1", "good")
    assert promotion.approve("1", "good") and promotion.registry.version("1").tags["kdflow.gate"] == "promote"
    assert [entry.action for entry in promotion.journal.entries()] == ["register", "promote"]


def test_other_classes_are_compared_by_name(params: Params) -> None:
    register_challenger(params, (0.5, 0.5))
    swapped = register_challenger(params, (0.9, 0.9), classes=("dog", "cat"))
    assert {"classes", "floor_map", "gain", "class_drop"} < failed_rules(swapped), "its cats are in the positions of dogs"
    more = register_challenger(params, (0.9, 0.9, 0.1), classes=("cat", "dog", "bird"))
    assert failed_rules(more) == {"classes"}
    assert "(+bird)" in more.reasons[0] and set(more.inputs.challenger.per_class) == {"cat", "dog"}


def test_the_gate_result_is_saved_with_the_version(params: Params) -> None:
    register_challenger(params, (0.5, 0.5))
    register_challenger(params, (0.8, 0.7))
    [_, version] = Registry("m").versions()
    assert version.tags["kdflow.previous_champion"] == "1" and version.tags["kdflow.gate_data_digest"] == "0123abcd"
    assert "certainty" in version.tags["kdflow.gate_rules"] and "mAP changes by +24.3 points" in version.tags["kdflow.gate_reasons"]
    client = MlflowClient(tracking_uri())
    text = client.get_model_version("m", "2").description
    assert "| mAP | 74.8 | 50.5 | +24.3 |" in text and f"get-artifact?path=gate%2Ffound.jpg&run_uuid={version.run_id}" in text
    assert [item.path for item in client.list_artifacts(version.run_id, "gate")] == ["gate/found.jpg"]


def test_registering_the_same_content_again_gives_the_same_decision_and_moves_nothing(params: Params) -> None:
    register_challenger(params, (0.5, 0.5))
    results = [register_challenger(params, (0.8, 0.7)) for _ in range(2)]
    assert results[0].rule_results == results[1].rule_results and results[1].reference_version == "1"
    assert len(Promotion(Registry("m")).journal.entries()) == 4
    again = register_challenger(params, (0.5, 0.5))
    assert (again.version, again.reference_version, again.passed) == ("1", "2", False)
    assert aliases() == {"challenger": "1", "champion": "2"}


def test_two_rollbacks_and_a_forced_promotion(params: Params) -> None:
    for shares in ((0.3, 0.3), (0.6, 0.6), (0.9, 0.9)):
        register_challenger(params, shares)
    promotion = Promotion(Registry("m"))
    assert promotion.rollback("misses bicycles") and aliases()["champion"] == "2"
    again = register_challenger(params, (0.9, 0.9))
    assert failed_rules(again) == {"rolled_back"} and "Ada rolled it back (misses bicycles)" in again.reasons[0], (
        "the next run does not undo a rollback"
    )
    assert promotion.rollback("misses cars") and aliases()["champion"] == "1"
    with pytest.raises(InputError, match="m: nothing to roll back to: version 1 was the first champion"):
        promotion.rollback("once more")
    assert promotion.force("3", "bicycles are back") and aliases()["champion"] == "3"
    assert promotion.rollback("no") and aliases()["champion"] == "1", "the champion before it"
    with pytest.raises(InputError, match="version 1: is the champion already"):
        promotion.force("1", "because")
    moves = [(e.action, e.previous, e.version, e.why) for e in promotion.journal.entries() if e.action != "register"][3:]
    assert moves == [
        ("rollback", "3", "2", "misses bicycles"),
        ("rollback", "2", "1", "misses cars"),
        ("force", "1", "3", "bicycles are back"),
        ("rollback", "3", "1", "no"),
    ]


def test_without_a_champion_there_is_nothing_to_roll_back_to() -> None:
    with pytest.raises(InputError, match="m: nothing to roll back to: there is no champion"):
        Promotion(Registry("m")).rollback("")


def test_nothing_changes_if_a_model_cannot_be_loaded(params: Params) -> None:
    register_challenger(params, (0.3, 0.3))
    register_challenger(params, (0.6, 0.6))
    promotion = Promotion(Registry("m"))
    files = {version.number: next(Path("mlruns").rglob(f"{version.run_id}/artifacts/model")) for version in promotion.registry.versions()}
    before = snapshot()
    shutil.rmtree(files["1"])
    for move in (lambda: promotion.rollback("bad"), lambda: promotion.force("1", "it was good")):
        with pytest.raises(InputError, match=r"m version 1: cannot be loaded .*so nothing was changed; restore its files"):
            move()
    next(files["2"].rglob("*.onnx")).write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"m version 2: file .* is not the registered one .*so nothing is loaded; restore the file"):
        register_challenger(params, (0.9, 0.9))
    assert snapshot() == before


def test_promote_returns_false_if_the_champion_changed_in_the_meantime(params: Params) -> None:
    register_challenger(params, (0.3, 0.3))
    promotion, other = Promotion(Registry("m")), Promotion(Registry("m"))
    file = write_model(Path("models/slow.onnx"), (0.6, 0.6))
    number = promotion.registry.register(file, create_run(), TAGS)
    gate_result = promotion.run_gate(number, params, Path("data"))
    register_challenger(params, (0.9, 0.9), other)
    assert gate_result.passed and not promotion.promote(gate_result)
    assert aliases()["champion"] == "3"


# ---- killed after each write ----


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
