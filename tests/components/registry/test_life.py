"""The whole life of a model against a real `mlflow server`, by the commands that people type, and races between processes."""

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from components.params.load import load_params
from components.register_model.journal import replay
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from components.registry.commands import main
from tests.components.oracles import register, write_data, write_model
from tests.components.stores import new_store
from tests.servers import mlflow_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[3]
TRIALS = 50


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("server") / "mlflow") as url:
        yield url


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """A working folder with parameters and prepared data, before a server."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("KDFLOW_USER", "Ada")
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text().replace("max_latency_ratio: 1.5", "max_latency_ratio: 100.0"))
    write_data(Path("outputs/prepare_data"))


@pytest.fixture
def kdflow(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The command, in this process: what it says."""

    def run(model: str, *arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["--model", model, *arguments])
        said = "".join(capsys.readouterr())
        assert end.value.code == code, said
        return said

    return run


def champion(model: str) -> int:
    return int(MlflowClient().get_model_version_by_alias(model, "champion").version)


def test_the_whole_life(kdflow: Callable[..., str]) -> None:
    params = load_params()
    for number, shares in enumerate(((0.5, 0.5), (0.4, 0.4), (0.8, 0.8), (0.7, 0.2)), 1):
        file = write_model(Path(f"{number}.onnx"), shares)
        client = MlflowClient()
        experiment = client.get_experiment_by_name("life")
        run = client.create_run(experiment.experiment_id if experiment else client.create_experiment("life"))
        tags = {"kdflow.export_difference": "0", "kdflow.map": "0.5", "kdflow.map50": "0.5", "kdflow.teacher_digest": "teach"}
        gate_result, _ = Promotion(Registry("life")).register_and_judge(file, run.info.run_id, tags, params, Path("outputs/prepare_data"))
        assert gate_result.passed == (number in (1, 3))
    assert champion("life") == 3
    assert "mAP changes by -9.9 points, less than +0.0" in kdflow("life", "show", "2")
    said = kdflow("life", "promote", "4", code=1)
    assert "class 'dog' falls from 80.2 to 20.8 AP50, more than 10.0 points" in said and champion("life") == 3
    kdflow("life", "promote", "4", "--force", code=2)
    kdflow("life", "promote", "4", "--force", "--reason", "dogs do not matter")
    assert champion("life") == 4
    kdflow("life", "rollback", "--reason", "they do")
    assert champion("life") == 3
    kdflow("life", "rollback", "3", "--reason", "bad at night")
    kdflow("life", "rollback", "3", "--reason", "bad at night")
    assert champion("life") == 1
    assert "nothing to roll back to: version 1 was the first champion" in kdflow("life", "rollback", code=2)
    history = kdflow("life", "history")
    moves = [line.split("│")[2:8] for line in history.splitlines() if "Ada" in line]
    assert [[cell.strip() for cell in cells] for cells in moves if "register" not in cells[0]] == [
        ["promote", "@champion", "", "1", "Ada", "there is no champion to beat, and every floor is reached"],
        ["promote", "@champion", "1", "3", "Ada", moves[4][5].strip()],
        ["force", "@champion", "3", "4", "Ada", "dogs do not matter"],
        ["rollback", "@champion", "4", "3", "Ada", "they do"],
        ["rollback", "@champion", "3", "1", "Ada", "bad at night"],
    ]
    table = kdflow("life", "compare", "3", "champion")
    assert "│ mAP " in table and "+29.7" in table
    kdflow("life", "copy", "3", "--to", "production")
    assert "models:/life/3" in kdflow("production", "show", "1") and "teach" in kdflow("production", "show", "1")
    assert "@champion" in kdflow("life", "list")


def contender(model: str, mine: list[str], gate_result: Any, barrier: Any, answers: Any, who: int) -> None:
    """Promote one of `mine` in each trial, at the same moment as the other process."""
    promotion = Promotion(Registry(model))
    for trial in range(TRIALS):
        against = promotion.journal.sync_aliases().champion
        barrier.wait(300)
        answers.put((trial, who, promotion.promote(gate_result._replace(version=mine[trial % 2], reference_version=against))))
        barrier.wait(300)


@pytest.mark.parametrize("store", ["server", "sqlite"])
def test_of_two_promotions_at_once_exactly_one_wins(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if store == "sqlite":
        new_store(tmp_path)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    model = f"race-{store}"
    numbers = [register(model, write_model(Path(f"{i}.onnx"), (0.5 + i / 10, 0.5))) for i in range(5)]
    promotion = Promotion(Registry(model))
    gate_result = promotion.judge(numbers[0], load_params(), Path("outputs/prepare_data"))
    assert promotion.promote(gate_result)
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    pairs = (numbers[1:3], numbers[3:5])
    racers = [context.Process(target=contender, args=(model, pairs[who], gate_result, barrier, answers, who)) for who in range(2)]
    for racer in racers:
        racer.start()
    told = [answers.get(timeout=300) for _ in range(2 * TRIALS)]
    for racer in racers:
        racer.join(60)
        assert racer.exitcode == 0
    winners = [[who for trial, who, won in told if trial == this and won] for this in range(TRIALS)]
    assert [len(who) for who in winners] == [1] * TRIALS, "each time exactly one wins, and the other is told that it did not"
    entries = promotion.journal.entries()
    state = replay(entries)
    assert list(state.champions[1:]) == [pairs[who][trial % 2] for trial, [who] in enumerate(winners)], "the history tells the true order"
    assert len(entries) == 1 + 2 * TRIALS and len(state.void) == TRIALS
    assert str(champion(model)) == state.champion
    assert {who for [who] in winners} == {0, 1}, "not always the same, else nothing was tried"
