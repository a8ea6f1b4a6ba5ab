"""What the three trainings share: settings from the parameters, a checkpoint to go on from, records, and the model that is kept."""

import csv
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kd
from components.params import Network, Params
from kd.data.augment import Augment
from kd.errors import InputError
from kd.files import digest, digest_of, read_json
from kd.model.build import parameter_count
from kd.model.spec import ModelSpec
from kd.model.store import save_model
from kd.train.fit import Fit, Lesson, fit
from kd.train.group import process_group
from kd.train.loop import Row, Training, TrainingDiverged

if TYPE_CHECKING:
    from components.tracking import Run


class Diverged(InputError):
    """A training whose loss is no longer finite."""


def train_network(
    title: str,
    params: Params,
    section: Network,
    run: "Run",
    data: Path,
    output: Path,
    lesson: Lesson | None = None,
    lesson_digest: str = "",
) -> None:
    """Train the network of `section` on prepared `data`; write `model.safetensors` and `history.csv` to `output`.

    A killed training goes on from its last epoch: its checkpoint's name is a digest of everything that the result depends on.

    Args:
        title: the step's name.
        params: all parameters.
        section: the network and how to train it.
        run: records every epoch.
        data: folder that prepare_data wrote.
        output: folder to write to.
        lesson: makes the training a distillation.
        lesson_digest: digest of the lesson's teacher, maps and settings.

    Raises:
        InputError: if the data do not fit or a checkpoint cannot be written.
        Diverged: if the loss is not finite.
    """
    summary = read_json(data / "summary.json")
    run.dataset("prepared", str(data), summary["digest"], "training")
    spec = spec_of(section, summary)
    training = Training(**section.train.model_dump())
    augment = Augment(**params.augment.model_dump())
    identity = [title, params.seed, spec.to_json(), asdict(training), asdict(augment), summary["digest"], lesson_digest, code_digest()]
    checkpoint = checkpoint_folder() / f"{title}-{digest_of(identity)[:16]}.pt"
    job = Fit(spec, data, training, augment, params.seed, checkpoint, title)
    try:
        with process_group() as group:
            network, history = fit(job, group, lambda row: _record(run, row), lesson)
    except TrainingDiverged as error:
        raise Diverged(title, str(error), "lower its lr or distill.weight, or look for broken labels") from None
    save_model(output / "model.safetensors", network, spec)
    write_history(output / "history.csv", history)
    run.metrics({"parameters": parameter_count(network)})
    run.artifact(output / "history.csv")
    checkpoint.unlink(missing_ok=True)


def spec_of(section: Network, summary: dict[str, Any]) -> ModelSpec:
    """The network of a section for the classes, anchors and image size of prepared data."""
    anchors = {int(stride): [(w, h) for w, h in shapes] for stride, shapes in summary["anchors"][section.architecture].items()}
    return ModelSpec(section.architecture, section.width, section.depth, tuple(summary["classes"]), anchors, summary["image_size"])


def checkpoint_folder() -> Path:
    """Where checkpoints live: outside DVC's outputs, which are deleted before a stage runs; `KDFLOW_CHECKPOINTS` moves it to a volume."""
    return Path(os.environ.get("KDFLOW_CHECKPOINTS", ".checkpoints"))


def write_history(path: Path, history: list[Row]) -> None:
    """One line an epoch; epochs that were not scored leave their scores empty."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in history)


def code_digest() -> str:
    """Digest of kd's sources: a training that began with other code must not go on with this one."""
    return digest_of([digest(source) for source in sorted(Path(kd.__file__).parent.rglob("*.py"))])


def _record(run: "Run", row: Row) -> None:
    run.metrics({name: value for name, value in row.items() if name != "epoch"}, step=int(row["epoch"]))
