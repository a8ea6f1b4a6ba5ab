"""A registered model: what its package says, and every address that leads back to a detector."""

import json
import tomllib
from collections import Counter
from importlib.metadata import EntryPoint
from pathlib import Path

import mlflow.onnx
import mlflow.pyfunc
import numpy as np
import onnx
import pytest
from mlflow import MlflowClient

from components.register_model.packaging import open_model
from components.register_model.registry import Registry
from components.runtime.tracking import tracking_uri
from kd import sources
from kd.cli import main
from kd.errors import InputError
from tests.components.packaged import CONFIDENCE, KINDS, made, pictures
from tests.components.stores import new_store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)


@pytest.fixture
def registered(store: None) -> str:
    """The run whose model is version 1 and champion of "street"."""
    client = MlflowClient(tracking_uri())
    run_id = str(client.create_run(client.create_experiment("test")).info.run_id)
    registry = Registry("street")
    version = registry.register(made() / "student.onnx", run_id, {})
    registry.client.set_registered_model_alias(registry.name, "champion", version)
    return run_id


def test_the_package_says_what_it_is() -> None:
    folder = made() / "package"
    assert (folder / "artifacts/student.onnx").read_bytes() == (made() / "student.onnx").read_bytes()
    assert (folder / "artifacts/square.py").read_bytes() == (ROOT / "kd/data/letterbox.py").read_bytes()
    assert mlflow.onnx.load_model(str(folder)) == onnx.load(made() / "student.onnx")
    needed = [line.partition("==") for line in (folder / "requirements.txt").read_text().split()]
    assert sorted(name for name, _, version in needed if version) == ["mlflow", "numpy", "onnxruntime", "pillow"]
    signature = mlflow.models.get_model_info(str(folder)).signature
    assert signature.inputs.to_dict() == [{"type": "binary", "name": "picture", "required": True}]
    assert signature.outputs.input_names() == ["boxes", "scores", "classes"]
    assert {param.name: param.default for param in signature.params} == {"confidence": CONFIDENCE, "nms_iou": 0.5, "most": 50}
    text = "".join(path.read_text() for path in folder.rglob("*") if path.suffix != ".onnx" and path.is_file())
    assert not any(place in text for place in (str(made().parent), str(ROOT), str(Path.home())))


def test_the_example_is_a_picture() -> None:
    model = mlflow.models.Model.load(made() / "package")
    folder = str(made() / "package")
    [found] = mlflow.pyfunc.load_model(folder).predict(model.load_input_example(folder))
    assert list(found) == ["boxes", "scores", "classes"]


def test_every_address_of_a_version_opens_it(registered: str) -> None:
    found = [open_model(uri)(pictures()[:1]) for uri in ("models:/street@champion", "models:/street/1", f"runs:/{registered}/model")]
    assert found[0][0].scores.tolist() == found[1][0].scores.tolist() == found[2][0].scores.tolist() != []
    detector = open_model("models:/street@champion")
    assert (detector.classes, detector.image_size) == (("class 0", "class 1", "class 2"), 64)


def test_kd_predict_draws_what_a_registered_model_finds(
    registered: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][sources.GROUP]
    points = [EntryPoint(name, value, sources.GROUP) for name, value in declared.items()]
    monkeypatch.setattr(sources, "entry_points", lambda group: points)
    for model, place in (("models:/street@champion", "theirs"), (str(made() / "model.safetensors"), "ours")):
        main(["predict", model, str(pictures()[0].parent), "--out", place, "--json", f"{place}.json"])
        assert f"pictures: {len(KINDS)}, objects: " in capsys.readouterr().out
    ours, theirs = (json.loads(Path(f"{place}.json").read_text()) for place in ("ours", "theirs"))
    assert Counter((row["file"], row["class"]) for row in ours) == Counter((row["file"], row["class"]) for row in theirs)
    np.testing.assert_allclose(sorted(row["score"] for row in ours), sorted(row["score"] for row in theirs), atol=2e-4)
    assert len(list(Path("theirs").iterdir())) == len(KINDS)


def test_a_model_that_cannot_be_opened_is_named(registered: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for uri in ("models:/street@nobody", "models:/street/7", "models:/nothing@champion", f"runs:/{registered}/nothing", "runs:/0/model"):
        with pytest.raises(InputError, match=f"{uri}: cannot be loaded") as caught:
            open_model(uri)
        assert "\n" not in str(caught.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(InputError, match=r"there is no .*none\.db"):
        open_model("models:/street@champion")
    assert not (tmp_path / "none.db").exists()


def test_a_model_made_by_others_is_no_detector(tmp_path: Path, store: None) -> None:
    mlflow.onnx.save_model(onnx.load(made() / "student.onnx"), tmp_path / "plain", pip_requirements=[])
    with pytest.raises(InputError, match="plain: cannot be loaded"):
        open_model(str(tmp_path / "plain"))


def test_a_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    (tmp_path / "half.jpg").write_bytes(pictures()[0].read_bytes()[:3000])
    with pytest.raises(InputError, match=r"half\.jpg cannot be decoded: .*truncated"):
        open_model(str(made() / "package"))([tmp_path / "half.jpg"])
    with pytest.raises(InputError, match="float64"):
        open_model(str(made() / "package"))([np.zeros((4, 4))])
