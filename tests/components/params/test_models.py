"""The parameters: immutable, with digests, and with the choices that the code implements."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from components.params.explain import explain
from components.params.load import load_params
from components.params.values import parse_model_uri
from kd.distillation.info_map import METHODS
from kd.distillation.loss import DistillConfig
from kd.errors import InputError
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


def test_only_a_teacher_with_trained_weights_can_do_without_epochs() -> None:
    with pytest.raises(InputError, match=r"parameter 'teacher\.train': without epochs, init must name trained weights"):
        load_params(COMMITTED, ["teacher.train.epochs=0"])
    with pytest.raises(InputError, match=r"'student\.train\.epochs' is 0"):
        load_params(COMMITTED, ["student.train.epochs=0", "student.init=x.safetensors"])
    assert load_params(COMMITTED, ["teacher.train.epochs=0", "teacher.init=x.safetensors"]).teacher.train.epochs == 0


def test_classes_are_renamed_for_initial_weights_only() -> None:
    with pytest.raises(InputError, match=r"parameter 'teacher\.classes': these are the names of classes in init, which is not set"):
        load_params(COMMITTED, ["teacher.classes={motorbike: motorcycle}"])
    with pytest.raises(InputError, match=r"parameter 'student\.classes\.3\.\[key\]' is 3"):
        load_params(COMMITTED, ["student.classes={3: cat}", "student.init=x.weights"])
    params = load_params(COMMITTED, ["teacher.classes={motorbike: motorcycle}", "teacher.init=x.weights"])
    assert params.teacher.classes == params.flat()["teacher.classes"] == {"motorbike": "motorcycle"}


@pytest.mark.parametrize("pattern", ["(", "frame", "(a)(b)"])
def test_a_pattern_for_groups_is_a_regular_expression_with_one_group(pattern: str) -> None:
    with pytest.raises(InputError, match="group_pattern"):
        load_params(COMMITTED, [f"register_model.gate.group_pattern='{pattern}'"])


def choices(name: str) -> set[str]:
    return next(set(row.allowed.split(" | ")) for row in explain({}) if row.name == name)


def test_the_choices_are_those_that_the_code_implements() -> None:
    assert choices("info_maps.method") == set(METHODS)
    assert choices("student.architecture") == choices("teacher.architecture") == set(ARCHITECTURES)
    for schedule in choices("distill.schedule"):
        assert DistillConfig(schedule=schedule).weight_at(0.0) == 1.0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("register_model.opset=99", "the installed onnx knows opsets up to "),
        ("register_model.name=a/b", "MLflow refuses empty names, and names with / or :"),
        ("register_model.name='a:b'", "MLflow refuses empty names"),
        ("register_model.name=' '", "MLflow refuses empty names"),
        ('register_model.name="a\'b\\"c"', "both kinds of quotes"),
        *((f"register_model.name='{name}'", "models:/NAME@ALIAS cannot have") for name in ("a@b", "a?b", " a", "x" * 201)),
        ('register_model.name="a\\tb"', "control characters"),
        ("register_model.teacher=a@b", "models:/NAME@ALIAS cannot have"),
        ("register_model.teacher=kdflow-student.journal", "a journal of this name"),
        ("register_model.public_key=AAAA", "must be '' or an Ed25519 key as `openssl pkey"),
        ("compose_scenes.objects=[7,3]", "the minimum is above the maximum"),
        ("distill.strides=[8,8]", "a value is repeated"),
        ("distill.taps=[neck,neck]", "a value is repeated"),
        ("data.path=''", "a folder is needed"),
        ("data.unlabelled=' '", "a folder is needed"),
        ("teacher.init=models:/kdflow-student", "write models:/NAME/VERSION or models:/NAME@ALIAS"),
        ("teacher.init=models:/kdflow-student/latest", "write models:/NAME/VERSION"),
        ("student.init=https://example.org/yolov3.weights", "give a .safetensors or .weights file, models:/NAME@ALIAS, or ''"),
        ("student.init=' x.weights'", "give a .safetensors or .weights file"),
        ("seed=-1", "greater than or equal to 0"),
        ("data.split_seed=-1", "greater than or equal to 0"),
        ("compose_scenes.seed=-1", "greater than or equal to 0"),
        ("student.width=1e9", "less than or equal to 4"),
        ("teacher.depth=5.0", "less than or equal to 4"),
        ("data.image_size=8192", "less than or equal to 4096"),
    ],
)
def test_values_that_would_fail_later_are_refused(change: str, problem: str) -> None:
    with pytest.raises(InputError) as error:
        load_params(COMMITTED, [change])
    assert problem in str(error.value) and change.partition("=")[0] in str(error.value) and "Value error" not in str(error.value)


def test_addresses_of_initial_weights() -> None:
    assert parse_model_uri("models:/kdflow-student@champion") == ("kdflow-student", "champion", False)
    assert parse_model_uri("models:/my model/3?") == ("my model", "3", True)
    assert load_params(COMMITTED, ["student.init=models:/a@b?"]).student.init == "models:/a@b?"


def test_flat_has_each_value_under_its_dotted_name() -> None:
    params = load_params(COMMITTED)
    flat = params.flat(exclude={"teacher"})
    assert flat["student.train.epochs"] == params.student.train.epochs and flat["seed"] == params.seed
    assert flat["distill.taps"] == params.distill.taps and not any(name.startswith("teacher") for name in flat)
    assert set(params.flat()) == {row.name for row in explain({})}
