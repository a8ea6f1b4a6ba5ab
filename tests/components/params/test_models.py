"""The parameters: immutable, with digests, and with the choices that the code implements."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from components.params.explain import explain
from components.params.load import load_params
from kd.distillation.info_map import METHODS
from kd.distillation.loss import DistillConfig
from kd.model.build import ARCHITECTURES

COMMITTED = Path(__file__).parents[3] / "params.yaml"


def test_parameters_are_immutable() -> None:
    with pytest.raises(ValidationError):
        load_params(COMMITTED).seed = 1


def test_the_digest_of_a_section_depends_on_its_values() -> None:
    params = load_params(COMMITTED)
    assert params.distill.digest() == load_params(COMMITTED).distill.digest()
    assert params.distill.digest() != load_params(COMMITTED, ["distill.weight=0.5"]).distill.digest()


def test_sections_that_a_step_does_not_read_are_not_there() -> None:
    params = load_params(COMMITTED).only(["seed", "distill"])
    assert params.distill == load_params(COMMITTED).distill and params.seed == 0
    with pytest.raises(AttributeError):
        params.teacher  # noqa: B018


def choices(name: str) -> set[str]:
    return next(set(row.allowed.split(" | ")) for row in explain({}) if row.name == name)


def test_the_choices_are_those_that_the_code_implements() -> None:
    assert choices("info_maps.method") == set(METHODS)
    assert choices("student.architecture") == choices("teacher.architecture") == set(ARCHITECTURES)
    for schedule in choices("distill.schedule"):
        assert DistillConfig(schedule=schedule).weight_at(0.0) == 1.0
