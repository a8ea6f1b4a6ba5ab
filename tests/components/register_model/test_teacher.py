"""The registered teachers: the better one on the val split is the champion, and can be the start of the next training."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from components.fetch_weights.step import fetch_weights
from components.params.load import load_params
from components.params.models import Params
from components.register_model.promotion import Promotion
from components.register_model.registered_files import read_onnx
from components.register_model.registry import Registry
from components.register_model.teacher import register_teacher
from components.runtime.tracking import NullRun
from components.shared.initial_weights import find_weights
from kd.errors import InputError
from kd.files import digest
from kd.model.build import build_model
from kd.model.distributed import init_distributed
from kd.model.initial_weights import load_initial_weights
from kd.model.store import save_model
from tests.components.stub_models import create_run
from tests.kd.train.squares import job, spec_for, write_squares

PARAMS = Path(__file__).parents[3] / "params.yaml"


@pytest.fixture
def params(execution_one: None) -> Params:
    return load_params(PARAMS, ["register_model.teacher=t", "teacher.init=models:/t@champion"])


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A trained network for the squares in the folder "data"."""
    training = job(write_squares(tmp_path / "data"), tmp_path / "checkpoint", epochs=40)
    with init_distributed() as processes:
        save_model(tmp_path / "good.safetensors", training.run(processes)[0], spec_for())
    return tmp_path / "good.safetensors"


def register(params: Params, model: Path) -> str:
    return register_teacher(params, create_run(), Path("data"), model, {"kdflow.data_digest": "d"})


def untrained(name: str, **changes: object) -> Path:
    spec = replace(spec_for(), **changes)
    save_model(Path(f"{name}.safetensors"), build_model(spec, seed=len(name)), spec)
    return Path(f"{name}.safetensors")


def champion() -> str:
    return Registry("t").version("champion").number


def test_the_better_teacher_is_the_champion(params: Params, good: Path, tmp_path: Path) -> None:
    assert register(params, untrained("first")) == "t version 1: promote (there is no champion yet)"
    assert register(params, good).startswith("t version 2: promote (mAP on the val split: ") and champion() == "2"
    assert "sbom.cdx.json" in Registry("t").version("2").tags["kdflow.files"]
    assert register(params, untrained("much worse")).startswith("t version 3: reject (mAP on the val split: ") and champion() == "2"
    assert register(params, good) == "t version 2: is the champion"
    fetch_weights(params, NullRun(), tmp_path / "fetched")
    found = find_weights("models:/t@champion", tmp_path / "fetched/teacher")
    assert found and (found.init, found.sha256) == ("models:/t/2", digest(good))
    assert Registry("t").version("2").tags["kdflow.data_digest"] == "d"
    read_onnx(Registry("t"), Registry("t").version("2"))


def test_the_order_of_the_classes_does_not_matter_and_other_classes_replace_the_champion(params: Params, good: Path) -> None:
    register(params, good)
    network = build_model(spec := replace(spec_for(), classes=("blue", "red")))
    load_initial_weights(good, network, spec)
    save_model(Path("reversed.safetensors"), network, spec)
    decision = register(params, Path("reversed.safetensors"))
    found = re.fullmatch(r"t version 2: promote \(mAP on the val split: (.*), and (.*) of version 1\)", decision)
    assert found and found[1] == found[2]
    assert register(params, untrained("other", classes=("red", "green"))) == "t version 3: promote (version 2 has other classes)"


def test_a_teacher_that_was_rolled_back_stays_so(params: Params, good: Path) -> None:
    register(params, untrained("first"))
    register(params, good)
    assert Promotion(Registry("t")).rollback("misses squares")
    assert "t version 2: reject (" in register(params, good) and champion() == "1"


def test_teacher_and_student_need_different_names() -> None:
    with pytest.raises(InputError, match=r"'register_model\.teacher' is 'kdflow-student': the student's registered model has this name"):
        load_params(PARAMS, ["register_model.teacher=kdflow-student"])
