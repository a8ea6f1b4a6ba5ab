"""What `kdflow registry prune` removes, and that rollbacks, approvals and the history need nothing of it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.params.load import load_params
from components.register_model.gate.run_gate import PENDING, load_version
from components.register_model.journal import Journal
from components.register_model.journal_entries import replay_entries
from components.register_model.registry import Registry
from components.register_model.version_card import GATE_TAG
from components.registry.commands import main
from components.registry.prune import find_removable, remove
from components.runtime.store import tracking_uri
from components.runtime.tracking import step_run
from tests.components.stores import new_store
from tests.components.stub_models import write_model

ROOT = Path(__file__).parents[3]
MODEL = "kdflow-student"
Register = Callable[..., str]


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Register:
    """Registers a version in an execution of its own, with this decision of the gate; gives its number."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    new_store(tmp_path)
    journal = Journal(Registry(MODEL))

    def register(execution: str, decision: str = "") -> str:
        monkeypatch.setenv("KDFLOW_EXECUTION", execution)
        with step_run("prepare_data", load_params()):
            pass
        with step_run("register_model", load_params()) as run:
            model = write_model(Path(f"{execution}.onnx"), (0.5, 0.5), extra_weights=len(list(Path().glob("*.onnx"))))
            number = journal.registry.register(model, run.id or "", {})
        journal.append("register", replay_entries(journal.entries()).champion, number, "registered")
        if decision:
            journal.registry.set_tags(number, {GATE_TAG: decision})
        return number

    return register


def executions() -> set[str]:
    """The executions with runs; the parent of each run is there."""
    client = MlflowClient(tracking_uri())
    experiment = client.get_experiment_by_name("kdflow")
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    names = {run.info.run_id: run.info.run_name for run in runs}
    assert all(names[run.data.tags["mlflow.parentRunId"]] for run in runs if "mlflow.parentRunId" in run.data.tags)
    return {run.info.run_name for run in runs if "kdflow.execution" in run.data.tags}


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["prune", *arguments])
    return end.value.code, "".join(capsys.readouterr())


def test_rejected_versions_and_finished_executions_are_removed_and_nothing_that_is_needed(
    register: Register, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(Registry(MODEL))
    for number, decision in enumerate(["promote", "reject", "reject", "promote", PENDING, "", "reject", "reject"], 1):
        assert register(f"e{number}", decision) == str(number)
    journal.append("promote", "", "1", "the first")
    journal.append("force", "1", "2", "rejected, and forced")  # can be restored by a rollback
    journal.append("promote", "2", "4", "better")
    journal.append("force", "4", "7", "rejected, and forced")
    journal.append("rollback", "7", "4", "worse")  # the gate has to recognize version 7
    monkeypatch.setenv("KDFLOW_EXECUTION", "failed")
    with pytest.raises(ValueError), step_run("prepare_data", load_params()):
        raise ValueError
    client = MlflowClient(tracking_uri())
    unfinished = client.create_run(client.get_experiment_by_name("kdflow").experiment_id, tags={"kdflow.execution": "u"}, run_name="u")
    theirs = client.create_run(client.get_experiment_by_name("kdflow").experiment_id, run_name="not of kdflow")
    client.set_terminated(theirs.info.run_id)
    history, before = journal.entries(), executions()
    assert before == {*(f"e{number}" for number in range(1, 9)), "failed", "u"}

    assert run_command(capsys, "--older-than", "1d") == (
        0,
        "would remove rejected versions: 0, finished executions: 0; add --yes to remove them\n",
    )
    code, output = run_command(capsys, "--older-than", "0h")
    lines = output.splitlines()
    assert code == 0 and lines[0].startswith(f"{MODEL} version 3, ")
    assert {line.split()[1] for line in lines[1:-1]} == {"e3", "failed"} and "3 runs, ended on " in output
    assert (len(journal.registry.versions()), executions()) == (8, before), "without --yes nothing is removed"

    code, output = run_command(capsys, "--older-than", "0h", "--yes")
    assert code == 0 and output.splitlines()[-1] == "removed rejected versions: 1, finished executions: 2"
    assert [version.number for version in journal.registry.versions()] == ["1", "2", "4", "5", "6", "7", "8"]
    assert executions() == before - {"e3", "failed"}
    assert (
        client.get_run(unfinished.info.run_id).info.lifecycle_stage == client.get_run(theirs.info.run_id).info.lifecycle_stage == "active"
    )
    assert journal.entries() == history and journal.find_problems() == []
    champions = replay_entries(history).champions
    assert champions == ("1", "2", "4")
    for number in champions:
        load_version(journal.registry, number)
    assert "removed rejected versions: 0, finished executions: 0" in run_command(capsys, "--older-than", "0h", "--yes")[1]


def test_a_version_that_was_promoted_in_the_meantime_is_kept(register: Register) -> None:
    journal = Journal(Registry(MODEL))
    for number in ("1", "2", "3"):
        register(number, "reject")
    removable = find_removable(journal, round(time.time() * 1000))
    assert [version.number for version in removable.versions] == ["1", "2"], "version 3 is the challenger"
    journal.append("force", "", "1", "needed")
    remove(journal, removable)
    assert [version.number for version in journal.registry.versions()] == ["1", "3"]
    load_version(journal.registry, "1")


def test_nothing_is_removed_if_entries_of_the_journal_are_missing(register: Register, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(Registry(MODEL))
    for number in ("1", "2"):
        register(number, "reject")
    journal.registry.client.delete_model_version(journal.name, "1")
    code, output = run_command(capsys, "--older-than", "0h", "--yes")
    assert code == 2 and "the journal has no entry 1" in output and len(journal.registry.versions()) == 2


@pytest.mark.parametrize("age", ["90", "d", "-1d", "1y", "1.5d"])
def test_an_age_has_a_unit(age: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prune", f"--older-than={age}"])
    assert "must be a number with h, d or w, such as 90d" in capsys.readouterr().err
