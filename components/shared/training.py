"""Shared by the three training steps: settings from the parameters, the checkpoint, metrics in MLflow, and the output files."""

import csv
import sys
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import kd
from components.params.models import Detector, Params, Train
from components.runtime.execution import is_main_process
from components.runtime.store import checkpoint_folder
from components.runtime.tracking import Run
from components.shared.initial_network import better_network, describe_origin, initial_network
from components.shared.initial_weights import InitialWeights, find_weights
from components.shared.training_pictures import refuse_leakage, training_pictures
from kd.data.augment import AugmentConfig
from kd.errors import InputError
from kd.files import digest, digest_json, read_json
from kd.model.build import count_parameters
from kd.model.distributed import init_distributed
from kd.model.spec import ModelSpec
from kd.model.store import load_training_pictures, save_model
from kd.train.config import TrainConfig
from kd.train.divergence import TrainingDiverged
from kd.train.early_stopping import kept_epoch
from kd.train.engine import BuildDistillation, EpochMetrics, train


class Diverged(InputError):
    """The loss or a weight of a training is not finite."""


def train_network(
    title: str,
    params: Params,
    section: Detector,
    run: Run,
    data: Path,
    output: Path,
    distill: BuildDistillation | None = None,
    distill_digest: str = "",
    weights: Path | None = None,
    teacher: Path | None = None,
    keep_better: bool = False,
) -> Path:
    """Train the network of `section` on prepared `data`; write model.safetensors and history.csv to `output`.

    An interrupted training resumes from its last epoch. The name of its checkpoint is a digest of the parameters, the data and the code.
    The checkpoint is returned; it is needed until the output is in its place.

    Args:
        title: the step's name.
        params: all parameters.
        section: the network and how to train it.
        run: records the metrics of every epoch.
        data: output of prepare_data.
        output: folder to write to.
        distill: builds the distillation; None to train with labels only.
        distill_digest: digest of the teacher, the maps and the settings of the distillation.
        weights: folder with the weights `section.init`, of `fetch_weights`; None to read the file `section.init` itself.
        teacher: the teacher's model.safetensors; None to train with labels only.
        keep_better: whether initial weights with all classes are the result if their mAP on the val split is higher.

    Raises:
        InputError: if the data or the initial weights do not fit, or a checkpoint cannot be written.
        Diverged: if the loss or a weight is not finite.
    """
    summary = read_json(data / "summary.json")
    run.log_dataset("prepared", str(data), summary["digest"], "training")
    spec = build_spec(section, summary)
    source = find_weights(section.init, weights)
    inherited = _inherited_pictures(source, teacher)
    if source:
        refuse_leakage(source.init, data, inherited)
    initial, spec, fine_tune = initial_network(source, section.classes, spec, params.seed, title) if source else (None, spec, False)
    origin = describe_origin(source, section.init_license, section.classes) if source else {}
    for name, value in origin.items():
        run.set_tag(f"kdflow.{name}", value)
    config = train_config(section.train, fine_tune)
    if not config.epochs and not fine_tune:
        problem = "has 0 epochs, but the initial weights do not have all classes of the data"
        raise InputError(f"{title}: train", problem, "set the number of epochs, or init to weights with these class names")
    start = deepcopy(initial) if keep_better and fine_tune and config.epochs else None
    if not source and config.freeze_epochs and is_main_process():
        print(f"warning: {title} freezes a backbone with random weights; set init, or freeze_epochs to 0", file=sys.stderr)
    augment = AugmentConfig(**params.augment.model_dump())
    identity = [title, params.seed, spec.to_json(), asdict(config), asdict(augment), summary["digest"], distill_digest, code_digest()]
    identity += [source.sha256, section.classes] if source else []
    checkpoint = checkpoint_folder() / f"{title}-{digest_json(identity)[:16]}.pt"

    def record(metrics: EpochMetrics) -> None:
        run.log_metrics({name: value for name, value in metrics.items() if name != "epoch"}, step=int(metrics["epoch"]))

    try:
        with init_distributed(config.deterministic) as processes:
            network, history = train(spec, data, config, augment, params.seed, checkpoint, processes, distill, record, title, initial)
    except TrainingDiverged as error:
        raise Diverged(title, str(error), "lower its lr or distill.weight, or check the labels") from None
    except torch.OutOfMemoryError as error:
        problem = f"the memory of the GPU does not suffice ({str(error).splitlines()[0]})"
        remedy = "lower its train.batch, its width, data.image_size or augment.multi_scale, or stop other programs on this GPU"
        raise InputError(title, problem, remedy) from None
    kept = kept_epoch(history)
    if start and "val_map" in kept:
        network = better_network(start, network, kept["val_map"], spec, data, title)
        run.set_tag("kdflow.kept_init", str(network is start).lower())
    is_trained = config.epochs > 0 and network is not start  # otherwise its weights have not seen these pictures
    own = training_pictures(data, unlabelled=distill is not None) if is_trained and is_main_process() else set()
    save_model(output / "model.safetensors", network, spec, origin, own | inherited)
    write_history(output / "history.csv", history)
    run.log_metrics({"parameters": count_parameters(network), "kept_epoch": kept["epoch"]})
    run.log_artifact(output / "history.csv")
    return checkpoint


def _inherited_pictures(source: InitialWeights | None, teacher: Path | None) -> frozenset[str]:
    """The pictures that initial weights and teacher were trained on; Darknet files do not record them."""
    files = [source.file if source else None, teacher]
    return frozenset().union(*(load_training_pictures(file) for file in files if file and file.suffix == ".safetensors"))


def build_spec(section: Detector, summary: dict[str, Any]) -> ModelSpec:
    """The spec of a section's network, with the classes, anchors and image size of the prepared data."""
    anchors = {int(stride): [(w, h) for w, h in shapes] for stride, shapes in summary["anchors"][section.architecture].items()}
    return ModelSpec(section.architecture, section.width, section.depth, tuple(summary["classes"]), anchors, summary["image_size"])


def train_config(section: Train, fine_tune: bool) -> TrainConfig:
    """The settings of a training; those in `fine_tune` replace the others if the initial weights have all classes."""
    settings = section.model_dump(exclude={"fine_tune"})
    return TrainConfig(**settings | ({name: value for name, value in section.fine_tune if value} if fine_tune else {}))


def write_history(path: Path, history: list[EpochMetrics]) -> None:
    """Write a CSV file with one line per epoch; the scores of epochs without evaluation, and the mark of all but one, are empty."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in history)


def code_digest() -> str:
    """Digest of the source files of kd, because a training must not resume with different code."""
    return digest_json([digest(source) for source in sorted(Path(kd.__file__).parent.rglob("*.py"))])
