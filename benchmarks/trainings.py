"""The trainings of an ablation, each in its own folder that appears when it has ended.

    OUT/prepared                        the data set, where the given folder was not prepared already
    OUT/labels-FRACTION                 the same data, of which a fraction of the training pictures keeps its labels
    OUT/teacher                         trained once, or a copy of the one that is given
    OUT/maps/METHOD-...                information maps, once for each setting of `info_maps`
    OUT/runs/VARIANT/seed-N             a student, its history.csv, training.json (seconds, machine, code), SPLIT.json (scores)

A rerun takes what is there, and a training that was killed goes on from its checkpoint. Every folder remembers what it was
made from, and is refused to a command with other parameters.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import benchmarks.published
from benchmarks.labels import write_labels
from benchmarks.machine import describe_machine
from benchmarks.published import PUBLISHED_METHODS
from benchmarks.published.pseudo_labels import build_pseudo_labels
from benchmarks.variants import PSEUDO, Variant
from components.compute_info_maps.step import compute_info_maps
from components.distill_student.step import MODEL, distill_config, distill_digest
from components.evaluate.report.models import read_history
from components.evaluate.scoring import evaluate_model, load_trained
from components.params.models import Detector, Params
from components.prepare_data.step import prepare_data
from components.runtime.tracking import NullRun
from components.shared.training import code_digest, train_network
from kd.data.dataset import DetectionData
from kd.detection.evaluate import NMSConfig
from kd.distillation.setup import build_distillation
from kd.errors import InputError
from kd.files import atomic_folder, digest, digest_json, read_json, write_json
from kd.model.store import load_model
from kd.train.engine import BuildDistillation

MADE_FROM, TRAINING, HISTORY = "made_from.json", "training.json", "history.csv"
Facts = dict[str, Any]


@dataclass(frozen=True)
class Ablation:
    """Where the trainings live.

    Attributes:
        out: the folder of the ablation.
        data: the prepared data set.
        params: the parameters of the teacher and of the scores.
        teacher_seed: the teacher's.
    """

    out: Path
    data: Path
    params: Params
    teacher_seed: int

    @property
    def teacher(self) -> Path:
        """The teacher's folder."""
        return self.out / "teacher"

    def run_of(self, variant: Variant, seed: int) -> Path:
        """The folder of one training."""
        return self.out / "runs" / variant.folder / f"seed-{seed}"

    def train_teacher(self) -> None:
        """Train the teacher, unless it is there."""
        params = self.params.model_copy(update={"seed": self.teacher_seed})
        made_from = {"data": self._data(), "seed": params.seed, **_values(params, "teacher", "augment")}
        once(self.teacher, made_from, lambda output: train_timed("teacher", params, params.teacher, self.data, output))

    def take_teacher(self, given: Path) -> None:
        """Copy a trained teacher from its folder, unless it is there.

        Raises:
            InputError: if the folder lacks it.
        """
        for name in (MODEL, HISTORY):
            if not (given / name).is_file():
                raise InputError(given / name, "is missing", "name a folder that train_teacher wrote, or leave --teacher out")

        def copy(output: Path) -> None:
            for name in (MODEL, HISTORY):
                shutil.copyfile(given / name, output / name)
            write_json(output / TRAINING, {"seconds": None})

        once(self.teacher, {"teacher": digest(given / MODEL)}, copy)

    def compute_maps(self, params: Params) -> Path:
        """Draw the information maps that `params` ask for, unless they are there, and return their folder."""
        section = params.info_maps
        folder = self.out / "maps" / f"{section.method}-{section.digest()[:8]}"
        made_from = {"data": self._data(), "teacher": digest(self.teacher / MODEL), **_values(params, "info_maps")}
        once(folder, made_from, lambda output: compute_info_maps(params, NullRun(), self.data, self.teacher, output))
        return folder

    def train(self, variant: Variant, params: Params) -> None:
        """Train `variant` with its own `params`, which hold the seed, unless it is there."""
        made_from = {"data": self._data(), "seed": params.seed, **_values(params, "student", "augment")}
        if not variant.is_baseline:
            made_from |= {
                "teacher": digest(self.teacher / MODEL),
                "published": variant.published,
                **_values(params, "distill", "info_maps"),
            }
        once(self.run_of(variant, params.seed), made_from, lambda output: self._train(variant, params, output))

    def scores(self, folder: Path, split: str) -> Facts:
        """mAP and mAP50 (0..1) of the model in `folder` on `split`; scored once with the same section `evaluate`."""
        path, section = folder / f"{split}.json", self.params.evaluate
        if not path.exists() or read_json(path)["evaluate"] != section.digest():
            nms = NMSConfig(section.confidence, section.nms_iou, section.max_detections)
            summary = read_json(self.data / "summary.json")
            found = evaluate_model(folder.name, load_trained(folder, summary), DetectionData(self.data / split, summary["image_size"]), nms)
            write_json(path, {"map": found.scores.map, "map50": found.scores.map50, "evaluate": section.digest()})
        return {key: value for key, value in read_json(path).items() if key != "evaluate"}

    def facts(self, folder: Path, split: str) -> Facts:
        """Scores, seconds, machine and code of a finished training, and the mean "gradient_ratio" of a distillation."""
        ratios = [row["gradient_ratio"] for row in read_history(folder / HISTORY) if "gradient_ratio" in row]
        mean_ratio = {"gradient_ratio": sum(ratios) / len(ratios)} if ratios else {}
        return {**self.scores(folder, split), **read_json(folder / TRAINING), **mean_ratio}

    def _train(self, variant: Variant, params: Params, output: Path) -> None:
        distill, distill_id = None, ""
        if not variant.is_baseline:
            maps = self.compute_maps(params)
            distill = self._distillation(variant, params, maps)
            distill_id = distill_digest(params, self.teacher, maps) + code()
        train_timed(f"{variant.folder}-seed-{params.seed}", params, params.student, self.data, output, distill, distill_id)

    def _distillation(self, variant: Variant, params: Params, maps: Path) -> BuildDistillation:
        """As distill_student builds it, with the loss of a published method where the variant names one.

        Methods that read the labels compute their maps on the augmented picture, as their authors do.
        """
        teacher, spec = load_model(self.teacher / MODEL)
        build = partial(build_distillation, teacher, spec, distill_config(params), maps)
        if variant.published is None:
            return partial(build, live=params.distill.maps == "live")
        if variant.published == PSEUDO:
            return partial(build_pseudo_labels, teacher, spec, params.distill.unlabelled)
        method = PUBLISHED_METHODS[variant.published]
        map_function = method.maps(spec) if method.maps else None
        return partial(build, live=map_function is not None, tap_loss=method.tap_loss, map_function=map_function)

    def _data(self) -> str:
        return digest(self.data / "summary.json")


def prepared(folder: Path, params: Params, out: Path) -> Path:
    """The prepared data set: `folder` itself, where prepare_data wrote it; else made in `out` from the labelled pictures in it.

    Raises:
        InputError: if it was prepared for another image size, or `prepare_data` refuses the pictures.
    """
    if (folder / "summary.json").exists() and (folder / "train/annotations.json").exists():
        size = read_json(folder / "summary.json").get("image_size")
        if size != params.data.image_size:
            raise InputError(folder, f"is prepared for {size} pixels, not {params.data.image_size}", f"add --set data.image_size={size}")
        return folder
    once(out / "prepared", _values(params, "data"), lambda output: prepare_data(params, NullRun(), output=output))
    return out / "prepared"


def with_labels(data: Path, fraction: float | None, params: Params, out: Path) -> Path:
    """Prepared `data`, or, for a `fraction`, a copy in `out` in which this fraction of the training pictures has labels.

    Raises:
        InputError: as `write_labels`.
    """
    if fraction is None:
        return data
    folder = out / f"labels-{fraction:g}"
    made_from = {"data": digest(data / "summary.json"), "labels": fraction, "anchors": params.data.anchors}
    once(folder, made_from, partial(write_labels, data, fraction, params.data.anchors == "kmeans"))
    return folder


def once(folder: Path, made_from: Facts, make: Callable[[Path], None]) -> None:
    """Let `make` fill `folder`, unless it is there.

    Raises:
        InputError: if what is there was made from something else.
    """
    if folder.exists():
        before = read_json(folder / MADE_FROM)
        others = sorted(key for key in before.keys() | made_from if before.get(key) != made_from.get(key))
        if others:
            raise InputError(folder, f"was made from other settings of {', '.join(others)}", "choose another --out, or delete it")
        return
    with atomic_folder(folder) as output:
        make(output)
        write_json(output / MADE_FROM, made_from)


class TimingRun(NullRun):
    """Takes the time of the epochs that this process ran."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs, self.begun = 0, time.monotonic()
        self.ended = self.begun

    def log_metrics(self, values: dict[str, float], step: int | None = None) -> None:
        """An epoch has ended where there is a `step`."""
        if step is not None:
            self.epochs, self.ended = self.epochs + 1, time.monotonic()

    def seconds(self, epochs: int) -> float | None:
        """What `epochs` take at this pace, so that a training that went on counts whole; None if no epoch was left to run."""
        return (self.ended - self.begun) / self.epochs * epochs if self.epochs else None


@cache
def code() -> str:
    """Digest of the sources that a training runs: as they were when this process began, which has them loaded."""
    published = sorted(Path(benchmarks.published.__file__).parent.glob("*.py"))
    return digest_json([code_digest(), *(digest(source) for source in published)])


def train_timed(
    title: str,
    params: Params,
    section: Detector,
    data: Path,
    output: Path,
    distill: BuildDistillation | None = None,
    distill_id: str = "",
) -> None:
    """Train as `train_network` does, and write seconds, machine and code to TRAINING as well."""
    run, version = TimingRun(), code()
    checkpoint = train_network(title, params, section, run, data, output, distill, distill_id)
    epochs = len(read_history(output / HISTORY))
    write_json(output / TRAINING, {"seconds": run.seconds(epochs), "machine": describe_machine(), "code": version})
    checkpoint.unlink(missing_ok=True)


def _values(params: Params, *sections: str) -> Facts:
    return params.model_dump(mode="json", include=set(sections))
