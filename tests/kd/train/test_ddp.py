"""A training in two processes, started by torchrun as a user would, on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from kd.model.distributed import Processes
from tests.kd.train.ddp_worker import EPOCHS, first_gradient

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def out(squares: Path, maps: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ddp")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "tests.kd.train.ddp_worker", squares, maps, folder]
    settings = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([str(word) for word in command], cwd=ROOT, env=settings, check=True, timeout=200)
    return folder


def observations(out: Path) -> list[dict[str, Any]]:
    return [json.loads((out / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_both_processes_have_the_same_weights_after_every_step(out: Path) -> None:
    first, second = (process["weights"] for process in observations(out))
    assert first == second
    assert len(set(first[: 2 * EPOCHS])) == 2 * EPOCHS


def test_the_pictures_of_a_batch_have_the_same_size_in_both_processes(out: Path) -> None:
    first, second = (process["sides"] for process in observations(out))
    assert first == second and len(set(first[: 2 * EPOCHS])) > 1


def test_the_processes_evaluate_together(out: Path) -> None:
    """Each detects in its share of the pictures."""
    first, second = observations(out)
    assert first["history"][-1]["val_map50"] == pytest.approx(first["val"]) and first["val"] == second["val"]
    assert first["history"][-1]["val_map"] == second["history"][-1]["val_map"]


def test_the_processes_stop_together_and_keep_the_same_weights(out: Path) -> None:
    first, second = observations(out)
    for process in (first, second):
        assert [row["epoch"] for row in process["stopped"]] == [1, 2] and "kept" in process["stopped"][0]
    assert first["best"] == second["best"]


def test_a_finished_training_ends_in_both_processes_if_one_reads_its_checkpoint_late(out: Path) -> None:
    assert [process["resumed"] for process in observations(out)] == [[1, 2]] * 2


def test_only_the_main_process_saves_and_reports(out: Path) -> None:
    first, second = observations(out)
    assert first["writes"] == ["run.pt"] * EPOCHS + ["stopped.pt"] * 2 and second["writes"] == []
    assert first["reported"] == [1.0, 2.0, 3.0] and second["reported"] == []
    assert all(row["gradient_ratio"] > 0 for row in first["history"])


def test_the_gradient_is_the_mean_of_the_halves(out: Path, squares: Path, maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process normalizes by the statistics of its own half, but by the mean number of objects of both."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes: sums in another order differ by more than the tolerance
    counts: list[torch.Tensor] = []
    monkeypatch.setattr("kd.detection.loss.reduce_mean", lambda count: counts.append(count) or count)
    own = [first_gradient(squares, maps, _Half(rank)) for rank in (0, 1)]
    monkeypatch.setattr("kd.detection.loss.reduce_mean", lambda count: torch.stack(counts).float().mean())
    halves = [first_gradient(squares, maps, _Half(rank)) for rank in (0, 1)]
    torch.set_num_threads(threads)
    assert counts[0] != counts[1] and not all(torch.allclose(own[0][name], halves[0][name], rtol=1e-3) for name in own[0])
    assert {name.split(".")[0] for name in halves[0]} == {"student", "loss"}
    for rank in (0, 1):
        found = torch.load(out / f"{rank}.gradient", weights_only=True)
        assert found.keys() == halves[0].keys()
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, (halves[0][name] + halves[1][name]) / 2, rtol=1e-4, atol=1e-6)
    assert not all(torch.allclose(halves[0][name], halves[1][name], rtol=1e-2) for name in halves[0])


class _Half(Processes):
    """The share of process `rank` of two, computed without the other."""

    def __init__(self, rank: int) -> None:
        super().__init__(rank, 2, torch.device("cpu"))

    def wrap(self, module: torch.nn.Module) -> torch.nn.Module:
        return module
