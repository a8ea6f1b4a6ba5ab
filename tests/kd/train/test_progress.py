from collections.abc import Iterator

import pytest
import torch

from kd.progress import Progress
from kd.train.divergence import DivergenceCheck
from kd.train.progress import TrainingProgress


def test_a_line_tells_the_loss_and_the_time_that_was_waited_for_pictures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Loading a batch takes three seconds and a step one; every second step is shown."""
    now = 0.0
    monkeypatch.setattr("kd.train.progress.time.perf_counter", lambda: now)

    def load() -> Iterator[int]:
        nonlocal now
        for batch in range(4):
            now += 3.0 if batch < 2 else 0.0
            yield batch

    progress = TrainingProgress("train", 2, 4, 8, done=1, enabled=True)
    bar, lines = progress.progress, []
    assert isinstance(bar, Progress)
    monkeypatch.setattr(bar, "_show", lines.append)
    divergence = DivergenceCheck(1, torch.device("cpu"))
    for batch in progress.timed(load()):
        now += 1.0
        bar.interval = 0.0 if batch % 2 else 1e9
        progress.step(1, {"box": torch.tensor(0.5), "distill_neck": torch.tensor(2.0)}, divergence)
    assert lines == ["epoch 2/2  box 0.50  neck 2.00  data 75%", "epoch 2/2  box 0.50  neck 2.00  data 0%"]
    assert capsys.readouterr().err == "train: resuming after epoch 1 of 2\n"
