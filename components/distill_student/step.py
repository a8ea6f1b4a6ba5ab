"""The step `distill_student`: train the student with the teacher's knowledge."""

from functools import partial
from pathlib import Path

from components.params.models import Params
from components.runtime.tracking import Run
from components.shared.training import train_network
from kd.distillation.loss import DistillConfig
from kd.distillation.map_store import read_index
from kd.distillation.setup import build_distillation
from kd.errors import InputError
from kd.files import digest, digest_json, read_json
from kd.model.store import load_model

MODEL = "model.safetensors"


def distill_student(
    params: Params,
    run: Run,
    data: Path = Path("outputs/prepare_data"),
    teacher: Path = Path("outputs/train_teacher"),
    maps: Path = Path("outputs/compute_info_maps"),
    weights: Path = Path("outputs/fetch_weights"),
    output: Path = Path("outputs/distill_student"),
) -> Path:
    """Train the student with the teacher's knowledge at backbone and neck, weighted by the information maps.

    Reads the sections `student`, `distill`, `augment` and `seed`, and the weights `student.init` in `weights`. Writes
    model.safetensors (the student, without the adapters) and history.csv (every loss term, and the gradient of the distillation
    relative to that of the detection loss). A training that was interrupted resumes from its last epoch.

    Raises:
        InputError: if the maps are those of another teacher or of other data, or as `train_network`.
    """
    _check_maps(maps, data, teacher)
    run.set_tag("kdflow.teacher_digest", digest(teacher / MODEL))
    config, live = distill_config(params), params.distill.maps == "live"
    distill = partial(build_distillation, *load_model(teacher / MODEL), config, maps, live=live)
    identity = distill_digest(params, teacher, maps)
    return train_network(
        "distill_student", params, params.student, run, data, output, distill, identity, weights / "student", teacher / MODEL
    )


def _check_maps(maps: Path, data: Path, teacher: Path) -> None:
    index = read_index(maps)
    checks = {
        "another teacher": index.get("teacher") == digest(teacher / MODEL),
        "other data": index.get("data") == read_json(data / "summary.json")["digest"],
    }
    for what, same in checks.items():
        if not same:
            raise InputError(maps, f"holds maps of {what}", "run compute_info_maps again")


def distill_config(params: Params) -> DistillConfig:
    """The settings in the section `distill`."""
    settings = params.distill.model_dump(exclude={"maps"})
    return DistillConfig(**settings | {name: tuple(settings[name]) for name in ("taps", "strides")})


def distill_digest(params: Params, teacher: Path, maps: Path) -> str:
    """Digest of what a distillation depends on beyond a training without a teacher."""
    return digest_json([digest(teacher / MODEL), digest(maps), params.distill.digest()])
