"""The step `train_baseline`: train the student without a teacher."""

from pathlib import Path

from components.params.models import Params
from components.runtime.tracking import Run
from components.shared.training import train_network


def train_baseline(
    params: Params,
    run: Run,
    data: Path = Path("outputs/prepare_data"),
    weights: Path = Path("outputs/fetch_weights"),
    output: Path = Path("outputs/train_baseline"),
) -> Path:
    """Train the student without a teacher: what distillation has to beat.

    Network, initial weights, seed, epochs, schedule and augmentation are those of distill_student; only the distillation loss is
    missing. Writes model.safetensors and history.csv. A training that was interrupted resumes from its last epoch.
    """
    return train_network("train_baseline", params, params.student, run, data, output, weights=weights / "student")
