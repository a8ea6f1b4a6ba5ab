"""The step `distill_student`."""

from pathlib import Path
from typing import TYPE_CHECKING

from components.params import Params
from components.step import command
from components.training import train_network
from kd.distillation.teaching import Distill
from kd.files import digest, digest_of
from kd.model.store import load_model
from kd.train.fit import Lesson

if TYPE_CHECKING:
    from components.tracking import Run

MODEL = "model.safetensors"


def distill_student(
    params: Params,
    run: "Run",
    data: Path = Path("outputs/prepare_data"),
    teacher: Path = Path("outputs/train_teacher"),
    maps: Path = Path("outputs/compute_info_maps"),
    output: Path = Path("outputs/distill_student"),
) -> None:
    """Train the student with the teacher's knowledge, weighted by the information maps, at backbone and neck.

    Reads the sections `student`, `distill`, `augment` and `seed`. Writes model.safetensors (the student alone: adapters are
    gone) and history.csv (every term, and the ratio of the distillation's gradient to the detection's). A killed training
    goes on from its last epoch when it is started again.
    """
    run.tag("kdflow.teacher_digest", digest(teacher / MODEL))
    lesson = lesson_of(params, teacher, maps)
    train_network("distill_student", params, params.student, run, data, output, lesson, lesson_digest(params, teacher, maps))


def lesson_of(params: Params, teacher: Path, maps: Path) -> Lesson:
    """What the section `distill` makes of the model in `teacher` and the maps that belong to it."""
    network, spec = load_model(teacher / MODEL)
    settings = params.distill.model_dump(exclude={"maps"})
    lists = {name: tuple(settings[name]) for name in ("taps", "strides")}
    return Lesson(network, spec, Distill(**settings | lists), maps, live=params.distill.maps == "live")


def lesson_digest(params: Params, teacher: Path, maps: Path) -> str:
    """Digest of everything that a distillation depends on besides what a training without a teacher does."""
    return digest_of([digest(teacher / MODEL), digest(maps), params.distill.digest()])


if __name__ == "__main__":
    command(distill_student)
