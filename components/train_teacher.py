"""The step `train_teacher`."""

from pathlib import Path
from typing import TYPE_CHECKING

from components.params import Params
from components.step import command
from components.training import train_network

if TYPE_CHECKING:
    from components.tracking import Run


def train_teacher(
    params: Params, run: "Run", data: Path = Path("outputs/prepare_data"), output: Path = Path("outputs/train_teacher")
) -> None:
    """Train the big network that the student will learn from.

    Reads the sections `teacher`, `augment` and `seed`. Writes model.safetensors and history.csv (losses an epoch, and mAP on
    the val split every few epochs). A killed training goes on from its last epoch when it is started again.
    """
    train_network("train_teacher", params, params.teacher, run, data, output)


if __name__ == "__main__":
    command(train_teacher)
