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
    weights = teacher / "model.safetensors"
    network, spec = load_model(weights)
    settings = params.distill.model_dump(exclude={"maps"})
    lesson = Lesson(network, spec, Distill(**settings | {"taps": tuple(settings["taps"])}), maps, live=params.distill.maps == "live")
    identity = digest_of([digest(weights), digest(maps), params.distill.digest()])
    run.tag("kdflow.teacher_digest", digest(weights))
    train_network("distill_student", params, params.student, run, data, output, lesson, identity)


if __name__ == "__main__":
    command(distill_student)
