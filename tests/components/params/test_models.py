"""`params.yaml`: it parses, its faults are named, and every parameter is explained."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from components.params.explain import explained
from components.params.load import load_params
from kd.distillation.info_map import METHODS
from kd.distillation.loss import Distill
from kd.errors import InputError
from kd.model.build import ARCHITECTURES

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "params.yaml"


@pytest.fixture
def content() -> Any:
    return yaml.safe_load(COMMITTED.read_text())


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Any], Path]:
    def write(content: Any) -> Path:
        file = tmp_path / "mine.yaml"
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return file

    return write


def test_the_committed_file_parses_to_what_it_says(content: Any) -> None:
    assert load_params(COMMITTED).model_dump(mode="json") == content


def delete(section: Any, name: str) -> None:
    del section[name]


FAULTS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda c: c["student"].update(wdith=1), "unknown parameter 'student.wdith'; remove it or mend its name"),
    (lambda c: c.update(distill={}), "unknown parameter 'distill'"),
    (lambda c: c["teacher"]["train"].update(epochs=0), "'teacher.train.epochs' is 0: Input should be greater than or equal to 1"),
    (lambda c: c["teacher"]["train"].update(epochs=1.5), "'teacher.train.epochs' is 1.5"),
    (lambda c: c["teacher"]["train"].update(epochs="40"), "'teacher.train.epochs' is '40'"),
    (lambda c: c["teacher"]["train"].update(lr=float("nan")), "'teacher.train.lr' is nan"),
    (lambda c: c["teacher"]["train"].update(lr=None), "'teacher.train.lr' is None"),
    (lambda c: c["augment"].update(scale=1.0), "'augment.scale' is 1.0"),
    (lambda c: c["data"].update(image_size=100), "'data.image_size' is 100: Input should be a multiple of 32"),
    (lambda c: c["distill"].update(taps=["head"]), "'distill.taps.0' is 'head'"),
    (lambda c: c["info_maps"].update(method="guess"), "'info_maps.method' is 'guess'"),
    (lambda c: c["compose_scenes"].update(objects=[3]), "'compose_scenes.objects' is [3]"),
    (lambda c: delete(c, "distill"), "parameter 'distill' is missing; add it; `python -m components.params` explains it"),
    (lambda c: delete(c["student"], "train"), "parameter 'student.train' is missing"),
    (lambda c: c.update(data=3), "'data' is 3"),
    (lambda c: c.update(seed=-1), "'seed' is -1"),
]


@pytest.mark.parametrize(("damage", "words"), FAULTS)
def test_a_fault_is_named(content: Any, written: Callable[[Any], Path], damage: Callable[[Any], Any], words: str) -> None:
    damage(content)
    with pytest.raises(InputError) as error:
        load_params(written(content))
    assert words in str(error.value) and "mine.yaml: " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "words"), [("a: [", "is not YAML"), ("", "'the whole file' is None"), ("[1]", "'the whole file' is [1]")])
def test_what_is_no_parameter_file_is_refused(written: Callable[[Any], Path], text: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        load_params(written(text))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine\.yaml: is missing"):
        load_params(tmp_path / "mine.yaml")


def test_single_parameters_can_be_changed() -> None:
    params = load_params(COMMITTED, ["student.train.epochs=3", "distill.taps=[neck]", "seed=5"])
    assert (params.student.train.epochs, params.distill.taps, params.seed) == (3, ["neck"], 5)
    assert params.teacher == load_params(COMMITTED).teacher


@pytest.mark.parametrize("change", ["student.train.epoch=3", "student.epochs=3", "seed", "=3", "seed.x=1", "nothing.at.all=1"])
def test_a_change_of_no_parameter_is_refused(change: str) -> None:
    with pytest.raises(InputError, match="names no parameter"):
        load_params(COMMITTED, [change])


def test_a_change_is_checked_like_the_file() -> None:
    with pytest.raises(InputError, match=r"'student\.train\.epochs' is 0"):
        load_params(COMMITTED, ["student.train.epochs=0"])


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load_params(COMMITTED).seed = 1


def test_a_digest_tells_sections_apart() -> None:
    params = load_params(COMMITTED)
    assert params.distill.digest() == load_params(COMMITTED).distill.digest()
    assert params.distill.digest() != load_params(COMMITTED, ["distill.weight=0.5"]).distill.digest()


def choices(name: str) -> set[str]:
    return next(set(row.allowed.split(" | ")) for row in explained({}) if row.name == name)


def test_what_may_be_chosen_is_what_there_is() -> None:
    assert choices("info_maps.method") == set(METHODS)
    assert choices("student.architecture") == choices("teacher.architecture") == set(ARCHITECTURES)
    for schedule in choices("distill.schedule"):
        assert Distill(schedule=schedule).at(0.0) == 1.0


def test_every_parameter_is_explained(content: Any) -> None:
    rows = {row.name: row for row in explained(content)}
    assert set(rows) == set(_names(content))
    assert all(len(row.meaning) > 5 and row.allowed for row in rows.values())
    assert rows["teacher.train.epochs"][1:3] == (str(content["teacher"]["train"]["epochs"]), "integer >= 1")
    assert rows["compose_scenes.objects"][1:3] == (str(content["compose_scenes"]["objects"]), "list of 2 integer >= 1")
    assert rows["augment.mosaic"].allowed == "number >= 0, <= 1"
    assert rows["distill.taps"].value == "[backbone, neck]"


def _names(content: dict[str, Any], prefix: str = "") -> list[str]:
    return [
        name
        for key, value in content.items()
        for name in (_names(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"])
    ]


def test_the_command_explains_also_what_is_broken(content: Any, written: Callable[[Any], Path]) -> None:
    command = [sys.executable, "-m", "components.params.models", "--params"]
    answer = subprocess.run([*command, COMMITTED], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0 and answer.stderr == ""
    epochs = str(content["teacher"]["train"]["epochs"])
    assert any(line.split()[:2] == ["teacher.train.epochs", epochs] for line in answer.stdout.splitlines())
    del content["augment"]["mosaic"]
    answer = subprocess.run([*command, written(content)], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 2 and answer.stderr.count("\n") == 1
    assert "parameter 'augment.mosaic' is missing" in answer.stderr
    assert any(line.split()[:2] == ["augment.mosaic", "(missing)"] for line in answer.stdout.splitlines())
