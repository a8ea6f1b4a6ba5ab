"""Reading a parameter file: its errors name the parameter, single parameters can be overridden, and old keys are reported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.params.load import RENAMED, check_params, load_params
from kd.errors import InputError

COMMITTED = Path(__file__).parents[3] / "params.yaml"


@pytest.fixture
def content() -> Any:
    return yaml.safe_load(COMMITTED.read_text())


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    """Write a parameter file with this content."""

    def written(content: Any) -> Path:
        file = tmp_path / "mine.yaml"
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return file

    return written


def test_the_committed_file_is_read_unchanged(content: Any) -> None:
    assert load_params(COMMITTED).model_dump(mode="json") == content


def delete(section: Any, name: str) -> None:
    del section[name]


MISTAKES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda c: c["student"].update(wdith=1), "unknown parameter 'student.wdith'; remove it or correct its name"),
    (lambda c: c.update(distil={}), "unknown parameter 'distil'"),
    (lambda c: c["student"]["train"].update(epochs=0), "'student.train.epochs' is 0: Input should be greater than or equal to 1"),
    (lambda c: c["teacher"]["train"].update(epochs=1.5), "'teacher.train.epochs' is 1.5"),
    (lambda c: c["teacher"]["train"].update(epochs="40"), "'teacher.train.epochs' is '40'"),
    (lambda c: c["teacher"]["train"].update(lr=float("nan")), "'teacher.train.lr' is nan"),
    (lambda c: c["teacher"]["train"].update(lr=None), "'teacher.train.lr' is None"),
    (lambda c: c["augment"].update(scale=1.0), "'augment.scale' is 1.0"),
    (lambda c: c["data"].update(image_size=100), "'data.image_size' is 100: Input should be a multiple of 32"),
    (lambda c: c["distill"].update(taps=["head"]), "'distill.taps.0' is 'head'"),
    (lambda c: c["info_maps"].update(method="guess"), "'info_maps.method' is 'guess'"),
    (lambda c: c["compose_scenes"].update(objects=[3]), "'compose_scenes.objects' is [3]"),
    (lambda c: delete(c, "distill"), "parameter 'distill' is missing; add it; `kdflow params` explains it"),
    (lambda c: delete(c["student"], "train"), "parameter 'student.train' is missing"),
    (lambda c: c.update(data=3), "'data' is 3"),
    (lambda c: c.update(seed=-1), "'seed' is -1"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_an_error_names_the_file_and_the_parameter(
    content: Any, write: Callable[[Any], Path], change: Callable[[Any], Any], message: str
) -> None:
    change(content)
    with pytest.raises(InputError) as error:
        load_params(write(content))
    assert message in str(error.value) and "mine.yaml: " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "is not YAML"), ("", "'the whole file' is None"), ("[1]", "'the whole file' is [1]")]
)
def test_another_file_is_rejected(write: Callable[[Any], Path], text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_params(write(text))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_repeated_parameter_is_rejected(write: Callable[[Any], Path]) -> None:
    text = COMMITTED.read_text().replace("  image_size: 128\n", "  image_size: 128\n  image_size: 640\n")
    with pytest.raises(InputError, match=r"mine\.yaml: is not YAML: line \d+ repeats the key 'image_size'"):
        load_params(write(text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine\.yaml: is missing"):
        load_params(tmp_path / "mine.yaml")


def test_single_parameters_can_be_overridden() -> None:
    params = load_params(COMMITTED, ["student.train.epochs=3", "distill.taps=[neck]", "seed=5"])
    assert (params.student.train.epochs, params.distill.taps, params.seed) == (3, ["neck"], 5)
    assert params.teacher == load_params(COMMITTED).teacher


@pytest.mark.parametrize("override", ["student.train.epoch=3", "student.epochs=3", "seed", "=3", "seed.x=1", "nothing.at.all=1"])
def test_an_override_of_an_unknown_parameter_is_rejected(override: str) -> None:
    with pytest.raises(InputError, match="is not an assignment to a parameter"):
        load_params(COMMITTED, [override])


def test_an_overridden_value_is_validated() -> None:
    with pytest.raises(InputError, match=r"'student\.train\.epochs' is 0"):
        load_params(COMMITTED, ["student.train.epochs=0"])


def rename_back(content: Any, old: str) -> None:
    """Give a parameter its old key."""
    *sections, old_key = old.split(".")
    for section in sections:
        content = content[section]
    content[old_key] = content.pop(RENAMED[old].rpartition(".")[2])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("augment.colour", "augment.color"),
        ("info_maps.reading", "info_maps.method"),
        ("student.train.optimiser", "student.train.optimizer"),
        ("teacher.train.optimiser", "teacher.train.optimizer"),
    ],
)
def test_the_error_for_an_old_key_names_the_new_one(content: Any, write: Callable[[Any], Path], old: str, new: str) -> None:
    with pytest.raises(InputError) as error:
        load_params(COMMITTED, [f"{old}=1"])
    assert str(error.value) == f"--set: '{old}' is now called '{new}'; write {new}=VALUE"
    rename_back(content, old)
    with pytest.raises(InputError) as error:
        load_params(write(content))
    assert str(error.value).endswith(f"mine.yaml: parameter '{old}' is now called '{new}'; rename it")


def test_old_keys_are_reported_before_other_errors(content: Any) -> None:
    for old in RENAMED:
        rename_back(content, old)
    content["seed"] = -1
    with pytest.raises(InputError, match=r"file: parameter 'augment\.colour' is now called 'augment\.color'"):
        check_params(content, "file")
