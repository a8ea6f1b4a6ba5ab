"""All commands with a real `mlflow server`, from the first version to a copy, and races between processes."""

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from components.params.load import load_params
from components.register_model.journal_entries import replay_entries
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from components.registry.commands import main
from tests.components.stores import new_store
from tests.components.stub_models import create_run, register, write_data, write_model
from tests.servers import mlflow_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[3]
TRIALS = 50


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("server") / "mlflow") as url:
        yield url


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_url: str) -> None:
    """A working folder with parameters and prepared data, and a server."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server_url)
    monkeypatch.setenv("KDFLOW_USER", "Ada")
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(
        (ROOT / "params.yaml")
        .read_text()
        .replace("max_latency_ratio: 1.5", "max_latency_ratio: 100.0")
        .replace("min_pictures: 50", "min_pictures: 40")
    )
    write_data(Path("outputs/prepare_data"))


@pytest.fixture
def registry(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command in this process; gives its output."""

    def run(model: str, *arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(["--model", model, *arguments])
        output = "".join(capsys.readouterr())
        assert caught.value.code == code, output
        return output

    return run


def champion(model: str) -> int:
    return int(MlflowClient().get_model_version_by_alias(model, "champion").version)


def test_versions_from_registration_to_rollback_and_copy(registry: Callable[..., str]) -> None:
    params = load_params()
    for number, shares in enumerate(((0.5, 0.5), (0.4, 0.4), (0.8, 0.8), (0.7, 0.2)), 1):
        file = write_model(Path(f"{number}.onnx"), shares)
        tags = {"kdflow.export_difference": "0", "kdflow.map": "0.5", "kdflow.map50": "0.5", "kdflow.teacher_digest": "teach"}
        gate_result, _ = Promotion(Registry("street")).register_challenger(file, create_run(), tags, params, Path("outputs/prepare_data"))
        assert gate_result.passed == (number in (1, 3))
    assert champion("street") == 3
    assert "mAP changes by -9.9 points, less than +0.0" in registry("street", "show", "2")
    output = registry("street", "promote", "4", code=1)
    assert "class 'dog' drops by 59.4 points of AP (" in output and champion("street") == 3
    registry("street", "promote", "4", "--force", code=2)
    registry("street", "promote", "4", "--force", "--reason", "dogs do not matter")
    assert champion("street") == 4
    registry("street", "rollback", "--reason", "they do")
    assert champion("street") == 3
    registry("street", "rollback", "3", "--reason", "bad at night")
    registry("street", "rollback", "3", "--reason", "bad at night")
    assert champion("street") == 1
    assert "nothing to roll back to: version 1 was the first champion" in registry("street", "rollback", code=2)
    history = registry("street", "history")
    moves = [line.split("│")[2:8] for line in history.splitlines() if "Ada" in line]
    assert [[cell.strip() for cell in cells] for cells in moves if "register" not in cells[0]] == [
        ["promote", "@champion", "", "1", "Ada", "there is no champion yet, and every minimum is reached"],
        ["promote", "@champion", "1", "3", "Ada", moves[4][5].strip()],
        ["force", "@champion", "3", "4", "Ada", "dogs do not matter"],
        ["rollback", "@champion", "4", "3", "Ada", "they do"],
        ["rollback", "@champion", "3", "1", "Ada", "bad at night"],
    ]
    table = registry("street", "compare", "3", "champion")
    assert "│ mAP " in table and "+29.7" in table
    registry("street", "copy", "3", "--to", "production")
    assert "models:/street/3" in registry("production", "show", "1") and "teach" in registry("production", "show", "1")
    assert "@champion" in registry("street", "list")


def promote_in_each_trial(model: str, numbers: list[str], gate_result: Any, barrier: Any, results: Any, who: int) -> None:
    """Promote one of `numbers` in each trial, at the same time as the other process."""
    promotion = Promotion(Registry(model))
    for trial in range(TRIALS):
        champion = promotion.journal.sync_aliases().champion
        barrier.wait(300)
        moved = promotion.promote(gate_result._replace(version=numbers[trial % 2], reference_version=champion))
        results.put((trial, who, moved))
        barrier.wait(300)


@pytest.mark.parametrize("store", ["server", "sqlite"])
def test_of_two_promotions_at_once_exactly_one_wins(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if store == "sqlite":
        new_store(tmp_path)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    model = f"race-{store}"
    numbers = [register(model, write_model(Path(f"{i}.onnx"), (0.5 + i / 10, 0.5))) for i in range(5)]
    promotion = Promotion(Registry(model))
    gate_result = promotion.run_gate(numbers[0], load_params(), Path("outputs/prepare_data"))
    assert promotion.promote(gate_result)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    pairs = (numbers[1:3], numbers[3:5])
    arguments = [(model, pairs[who], gate_result, barrier, results, who) for who in range(2)]
    processes = [context.Process(target=promote_in_each_trial, args=one) for one in arguments]
    for process in processes:
        process.start()
    moves = [results.get(timeout=300) for _ in range(2 * TRIALS)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    winners = [[who for trial, who, moved in moves if trial == this and moved] for this in range(TRIALS)]
    assert [len(who) for who in winners] == [1] * TRIALS, "exactly one promotion succeeds in each trial, and the other one returns False"
    entries = promotion.journal.entries()
    state = replay_entries(entries)
    assert list(state.champions[1:]) == [pairs[who][trial % 2] for trial, [who] in enumerate(winners)], (
        "the journal has the promotions in their order"
    )
    assert len(entries) == 1 + 2 * TRIALS and len(state.void) == TRIALS
    assert str(champion(model)) == state.champion
    assert {who for [who] in winners} == {0, 1}, "both processes win some trials; otherwise there was no race"
