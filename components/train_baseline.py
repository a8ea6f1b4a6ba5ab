"""The step `train_baseline`."""

from pathlib import Path
from typing import TYPE_CHECKING

from components.params import Params
from components.step import command
from components.training import train_network

if TYPE_CHECKING:
    from components.tracking import Run


def train_baseline(
    params: Params, run: "Run", data: Path = Path("outputs/prepare_data"), output: Path = Path("outputs/train_baseline")
) -> None:
    """Train the student alone: what distillation has to beat.

    Network, seed, epochs, schedule and augmentation are those of distill_student; only the teacher's terms are missing.
    Writes model.safetensors and history.csv. A killed training goes on from its last epoch when it is started again.
    """
    train_network("train_baseline", params, params.student, run, data, output)


if __name__ == "__main__":
    command(train_baseline)
