"""The step `train_teacher`: train the network that the student learns from."""

from pathlib import Path

from components.params.models import Params
from components.runtime.tracking import Run
from components.shared.training import train_network


def train_teacher(
    params: Params,
    run: Run,
    data: Path = Path("outputs/prepare_data"),
    weights: Path = Path("outputs/fetch_weights"),
    output: Path = Path("outputs/train_teacher"),
) -> Path:
    """Train the large network that the student learns from.

    Reads the sections `teacher`, `augment` and `seed`, and the weights `teacher.init` in `weights`. Writes model.safetensors and
    history.csv (the losses of every epoch, and mAP on the val split every few epochs). A training that was interrupted resumes from
    its last epoch. If the initial weights have all classes and a higher mAP on the val split, model.safetensors has these weights.
    """
    return train_network("train_teacher", params, params.teacher, run, data, output, weights=weights / "teacher", keep_better=True)
