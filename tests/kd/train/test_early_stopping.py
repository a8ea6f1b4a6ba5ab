"""Early stopping and the best epoch: what the scores say, which weights are kept, and that an interruption changes nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kd.errors import InputError
from kd.files import digest
from kd.model.build import Network
from kd.model.distributed import Processes
from kd.model.store import save_model
from kd.train.checkpoint import load_checkpoint
from kd.train.early_stopping import best_epoch, is_exhausted, kept_epoch
from kd.train.engine import EpochMetrics
from tests.kd.train.squares import Job, job, spec_for, write_squares

EPOCHS = 6
SCORES = (0.1, 0.3, 0.3, 0.2, 0.4, 0.1)


def history(*scores: float | None) -> list[EpochMetrics]:
    return [{"epoch": epoch} | ({} if score is None else {"val_map": score}) for epoch, score in enumerate(scores, 1)]


@pytest.mark.parametrize(
    ("scores", "epoch"), [((0.1,), 1), ((None, 0.1, None, 0.3, 0.2), 4), ((0.2, 0.3, 0.3), 2), ((0.0, 0.0), 1), ((None,), None), ((), None)]
)
def test_the_best_epoch_is_the_first_with_the_highest_score(scores: tuple[float | None, ...], epoch: int | None) -> None:
    best = best_epoch(history(*scores))
    assert (best and best["epoch"]) == epoch


@pytest.mark.parametrize(
    ("scores", "patience", "ends"),
    [
        ((0.3, 0.2, 0.1), 0, False),
        ((0.3, 0.2, 0.1), 2, True),
        ((0.3, 0.2, 0.1), 3, False),
        ((0.3, 0.3), 1, True),
        ((0.1, 0.3), 1, False),
        ((0.3, None, None, 0.2, None), 2, False),
        ((0.3, 0.1, 0.2), 2, True),
        ((0.3, 0.1, 0.4), 2, False),
        ((0.3,), 1, False),
        ((), 1, False),
    ],
)
def test_a_training_ends_after_evaluations_that_do_not_raise_the_best_score(
    scores: tuple[float | None, ...], patience: int, ends: bool
) -> None:
    assert is_exhausted(history(*scores), patience) == ends


def test_the_last_epoch_is_kept_if_none_has_the_mark() -> None:
    rows = history(0.3, 0.2)
    assert kept_epoch(rows) is rows[1]
    rows[0]["kept"] = 1.0
    assert kept_epoch(rows) is rows[0]


@pytest.fixture
def averages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, torch.Tensor]]]:
    """The averaged weights at each evaluation; the scores of the evaluations are SCORES."""
    seen: list[dict[str, torch.Tensor]] = []

    def scripted(network: Network, *others: object) -> EpochMetrics:
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"val_map": SCORES[len(seen) - 1], "val_map50": 0.0}

    monkeypatch.setattr("kd.train.engine.validate", scripted)
    return seen


def training(squares: Path, checkpoint: Path, **settings: Any) -> Job:
    return job(squares, checkpoint, EPOCHS, evaluate_every=1, **settings)


def equal(network: Network, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("patience", "keep_epoch", "ended", "kept"),
    [(0, "last", 6, 6), (0, "best", 6, 5), (3, "last", 6, 6), (2, "last", 4, 4), (2, "best", 4, 2), (1, "best", 3, 2)],
)
def test_the_weights_of_the_last_or_the_best_epoch_are_the_result(
    squares: Path,
    single: Processes,
    tmp_path: Path,
    averages: list[dict[str, torch.Tensor]],
    capsys: pytest.CaptureFixture[str],
    patience: int,
    keep_epoch: str,
    ended: int,
    kept: int,
) -> None:
    network, rows = training(squares, tmp_path / "a.pt", patience=patience, keep_epoch=keep_epoch).run(single)
    assert [row["epoch"] for row in rows] == list(range(1, ended + 1)) and len(averages) == ended
    assert equal(network, averages[kept - 1]) and not network.training
    assert [row["epoch"] for row in rows if "kept" in row] == ([kept] if keep_epoch == "best" else [])
    reason = f"train: ends after epoch {ended} of 6, because mAP on the val split has not risen in {patience} evaluations"
    assert (reason in capsys.readouterr().err) == (ended < EPOCHS)


def test_other_epochs_are_trained_as_without_a_choice(
    squares: Path, single: Processes, tmp_path: Path, averages: list[dict[str, torch.Tensor]]
) -> None:
    training(squares, tmp_path / "a.pt").run(single)
    plain = list(averages)
    averages.clear()
    training(squares, tmp_path / "b.pt", patience=2, keep_epoch="best").run(single)
    assert all(torch.equal(value, plain[index][name]) for index, state in enumerate(averages) for name, value in state.items())
    assert "best" in load_checkpoint(tmp_path / "b.pt") and "best" not in load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_a_killed_training_ends_at_the_same_epoch_with_the_same_bytes(
    squares: Path, single: Processes, tmp_path: Path, averages: list[dict[str, torch.Tensor]], epoch: int
) -> None:
    """Whether it is killed before, at or after its best epoch, or at its end."""

    def result(run: Callable[[], tuple[Network, list[EpochMetrics]]]) -> tuple[str, list[EpochMetrics]]:
        network, rows = run()
        save_model(tmp_path / "m.safetensors", network, spec_for())
        return digest(tmp_path / "m.safetensors"), rows

    def stop(metrics: EpochMetrics) -> None:
        if metrics["epoch"] == epoch:
            raise KeyboardInterrupt

    settings: dict[str, Any] = {"patience": 2, "keep_epoch": "best"}
    whole = result(lambda: training(squares, tmp_path / "whole.pt", **settings).run(single))
    averages.clear()
    broken = training(squares, tmp_path / "broken.pt", **settings)
    with pytest.raises(KeyboardInterrupt):
        broken.run(single, on_epoch=stop)
    assert len(averages) == epoch
    assert result(lambda: broken.run(single)) == whole and len(averages) == len(whole[1]) == 4
    assert result(lambda: broken.run(single)) == whole and len(averages) == 4


@pytest.mark.parametrize("settings", [{"patience": 1}, {"keep_epoch": "best"}])
def test_without_a_val_split_there_is_nothing_to_choose_by(single: Processes, tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = write_squares(tmp_path / "squares", val=0)
    with pytest.raises(InputError, match=r"val: has no pictures, but patience and keep_epoch: best need them; raise data\.val, or set"):
        training(folder, tmp_path / "a.pt", **settings).run(single)
    assert not (tmp_path / "a.pt").exists()
    rows = job(folder, tmp_path / "a.pt", 1).run(single)[1]
    assert len(rows) == 1 and "val_map" not in rows[0]
