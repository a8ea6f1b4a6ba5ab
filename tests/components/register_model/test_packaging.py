"""The package of a registered model, and the addresses from which it can be loaded."""

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
from components.runtime.store import tracking_uri
from kd import sources
from kd.cli import main
from kd.errors import InputError
from tests.components.packaged import CONFIDENCE, PICTURE_KINDS, model_folder, picture_files
from tests.components.stores import new_store

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)


@pytest.fixture
def registered(store: None) -> str:
    """The run that registered version 1, the champion, of the model "street"."""
    client = MlflowClient(tracking_uri())
    run_id = str(client.create_run(client.create_experiment("test")).info.run_id)
    registry = Registry("street")
    version = registry.register(model_folder() / "student.onnx", run_id, {})
    registry.client.set_registered_model_alias(registry.name, "champion", version)
    return run_id


def test_the_package_contains_the_network_its_signature_and_requirements() -> None:
    folder = model_folder() / "package"
    assert (folder / "artifacts/student.onnx").read_bytes() == (model_folder() / "student.onnx").read_bytes()
    assert (folder / "artifacts/letterbox.py").read_bytes() == (ROOT / "kd/data/letterbox.py").read_bytes()
    assert mlflow.onnx.load_model(str(folder)) == onnx.load(model_folder() / "student.onnx")
    requirements = [line.partition("==") for line in (folder / "requirements.txt").read_text().split()]
    assert sorted(name for name, _, version in requirements if version) == ["mlflow-skinny", "numpy", "onnxruntime", "pandas", "pillow"]
    signature = mlflow.models.get_model_info(str(folder)).signature
    assert signature.inputs.to_dict() == [{"type": "binary", "name": "picture", "required": True}]
    assert signature.outputs.input_names() == ["boxes", "scores", "classes"]
    assert {param.name: param.default for param in signature.params} == {"confidence": CONFIDENCE, "nms_iou": 0.5, "most": 50}
    text = "".join(path.read_text() for path in folder.rglob("*") if path.suffix != ".onnx" and path.is_file())
    assert not any(path in text for path in (str(model_folder().parent), str(ROOT), str(Path.home())))


def test_the_input_example_is_a_picture() -> None:
    model = mlflow.models.Model.load(model_folder() / "package")
    folder = str(model_folder() / "package")
    [prediction] = mlflow.pyfunc.load_model(folder).predict(model.load_input_example(folder))
    assert list(prediction) == ["boxes", "scores", "classes"]


def test_a_version_can_be_loaded_from_each_of_its_addresses(registered: str) -> None:
    addresses = ("models:/street@champion", "models:/street/1", f"runs:/{registered}/model")
    detections = [open_model(uri)(picture_files()[:1]) for uri in addresses]
    assert detections[0][0].scores.tolist() == detections[1][0].scores.tolist() == detections[2][0].scores.tolist() != []
    detector = open_model("models:/street@champion")
    assert (detector.classes, detector.image_size) == (("class 0", "class 1", "class 2"), 64)


def test_kd_predict_works_with_a_registered_model(
    registered: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][sources.GROUP]
    points = [EntryPoint(name, value, sources.GROUP) for name, value in declared.items()]
    monkeypatch.setattr(sources, "entry_points", lambda group: points)
    for model, name in (("models:/street@champion", "registered"), (str(model_folder() / "model.safetensors"), "trained")):
        main(["predict", model, str(picture_files()[0].parent), "--out", name, "--json", f"{name}.json"])
        assert f"pictures: {len(PICTURE_KINDS)}, objects: " in capsys.readouterr().out
    ours, theirs = (json.loads(Path(f"{name}.json").read_text()) for name in ("trained", "registered"))
    assert Counter((row["file"], row["class"]) for row in ours) == Counter((row["file"], row["class"]) for row in theirs)
    np.testing.assert_allclose(sorted(row["score"] for row in ours), sorted(row["score"] for row in theirs), atol=2e-4)
    assert len(list(Path("registered").iterdir())) == len(PICTURE_KINDS)


def test_the_error_names_a_model_that_cannot_be_loaded(registered: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for uri in ("models:/street@nobody", "models:/street/7", "models:/nothing@champion", f"runs:/{registered}/nothing", "runs:/0/model"):
        with pytest.raises(InputError, match=f"{uri}: cannot be loaded") as caught:
            open_model(uri)
        assert "\n" not in str(caught.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(InputError, match=r"there is no .*none\.db"):
        open_model("models:/street@champion")
    assert not (tmp_path / "none.db").exists()


def test_an_onnx_model_from_elsewhere_cannot_be_loaded(tmp_path: Path, store: None) -> None:
    mlflow.onnx.save_model(onnx.load(model_folder() / "student.onnx"), tmp_path / "plain", pip_requirements=[])
    with pytest.raises(InputError, match="plain: cannot be loaded"):
        open_model(str(tmp_path / "plain"))


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "half.jpg").write_bytes(picture_files()[0].read_bytes()[:3000])
    with pytest.raises(InputError, match=r"half\.jpg cannot be decoded: .*truncated"):
        open_model(str(model_folder() / "package"))([tmp_path / "half.jpg"])
    with pytest.raises(InputError, match="float64"):
        open_model(str(model_folder() / "package"))([np.zeros((4, 4))])
