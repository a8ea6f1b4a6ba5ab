"""The step register_model, with a tiny network and a real store."""

import json
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from components.params.load import load_params
from components.params.models import Params
from components.register_model import parity
from components.register_model.registered_files import read_monitoring_reference
from components.register_model.registry import Registry, Version
from components.register_model.step import register_model
from components.runtime import tracking
from components.runtime.command import run_step
from components.runtime.store import tracking_uri
from kd.detection.decode import decode_boxes
from kd.errors import InputError
from kd.files import digest, write_json
from kd.model.store import save_model
from tests.components.random_networks import random_network
from tests.components.stores import new_store
from tests.packed import pack, packed

ROOT = Path(__file__).parents[3]
LENIENT = ("register_model.gate.min_map=0", "register_model.gate.min_map50=0", "register_model.gate.max_latency_ratio=100",
           "register_model.gate.min_pictures=1", "register_model.gate.min_objects=0")  # fmt: skip
OUTPUT = Path("outputs/register_model")


@pytest.fixture
def settings() -> Params:
    return load_params(ROOT / "params.yaml", ["register_model.compare_pictures=3", *LENIENT])


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with the outputs of all previous steps."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("KDFLOW_EXECUTION", "one")
    monkeypatch.setenv("KDFLOW_GIT_COMMIT", "abc")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)
    test = Path("outputs/prepare_data/test")
    (test / "images").mkdir(parents=True)
    noise = np.random.default_rng(0)
    images = [{"id": i, "file_name": f"{i}.png", "width": 50, "height": 70} for i in range(1, 5)]
    for image in images:
        Image.fromarray(noise.integers(0, 256, (70, 50, 3), dtype=np.uint8)).save(test / "images" / str(image["file_name"]))
    write_json(test / "annotations.json", {"images": images, "annotations": [], "categories": [{"id": 1, "name": "class 0"}]})
    pack(test)
    write_json(Path("outputs/prepare_data/summary.json"), {"digest": "0123"})
    scores = {"map50": 0.5, "map": 0.0, "parameters": 7, "per_class": {}}
    write_json(Path("outputs/evaluate/metrics.json"), {name: scores for name in ("teacher", "baseline", "student")})
    write_model("distill_student", seed=0)
    write_model("train_teacher", seed=1)


def write_model(step: str, seed: int) -> None:
    save_model(Path("outputs") / step / "model.safetensors", *random_network(seed=seed))


def decision() -> dict[str, Any]:
    return dict(json.loads((OUTPUT / "decision.json").read_text()))


def test_the_first_model_becomes_champion_and_the_next_must_be_better(settings: Params, capsys: pytest.CaptureFixture[str]) -> None:
    run_step(register_model, settings)
    first, files = decision(), digest(OUTPUT)
    assert "kdflow-student version 1: promote (there is no champion yet" in capsys.readouterr().out
    assert first["champion"] is first["gain"] is None

    run_step(register_model, settings)
    assert digest(OUTPUT) == files, "the same content gives the same bytes"

    write_model("distill_student", seed=2)
    run_step(register_model, settings)
    second = decision()
    assert "kdflow-student version 2: reject (every resample of the test pictures gives the same change of mAP" in capsys.readouterr().out
    assert (first["decision"], second["decision"]) == ("promote", "reject")
    assert first["content"] != second["content"] == digest(OUTPUT / "student.onnx")
    assert {rule for rule, result in second["rules"].items() if not result["passed"]} == {"certainty"}, (
        "there are no labels, so both score 0"
    )
    assert second["gain"]["map"] == {"difference": 0, "low": 0, "high": 0} and second["champion"] == {**first["challenger"]}

    client = MlflowClient(tracking_uri())
    aliases = client.get_registered_model("kdflow-student").aliases
    assert {alias: int(version) for alias, version in aliases.items()} == {"champion": 1, "challenger": 2}
    assert len(client.search_model_versions("name = 'kdflow-student'")) == 2
    run = client.search_runs([client.get_experiment_by_name("kdflow").experiment_id], "run_name = 'register_model'")[0]
    assert run.data.metrics["gate.map_low"] == 0 and run.data.metrics["gate.latency_ratio"] > 0


def test_an_export_without_detections_to_compare_is_rejected(settings: Params) -> None:
    silent = settings.model_copy(update={"register_model": settings.register_model.model_copy(update={"confidence": 1.0})})
    run_step(register_model, silent)
    assert decision()["export"]["detections"] == 0
    assert decision()["reasons"] == ["no detections of the ONNX file were compared with PyTorch"]


def test_the_output_contains_no_times(settings: Params) -> None:
    run_step(register_model, settings)
    write_model("distill_student", seed=2)
    run_step(register_model, settings)
    text = (OUTPUT / "decision.json").read_text()
    ratio = MlflowClient(tracking_uri()).get_model_version("kdflow-student", "2").tags["kdflow.latency_ratio"]
    assert "latency" in text and ratio not in text


def test_a_student_whose_scores_are_not_finite_is_rejected(settings: Params) -> None:
    scores = {"map50": float("nan"), "map": 0.0, "parameters": 7, "per_class": {}}
    Path("outputs/evaluate/metrics.json").write_text(json.dumps({"teacher": scores, "student": scores}))
    run_step(register_model, settings)
    assert decision()["reasons"] == ["a weight or a score is NaN or infinite"]
    assert decision()["scores"] == {name: {"map": 0.0, "map50": None} for name in ("teacher", "student")}
    assert "champion" not in MlflowClient(tracking_uri()).get_registered_model("kdflow-student").aliases


def test_a_student_whose_map_is_not_that_of_evaluate_is_rejected(settings: Params) -> None:
    scores = {"map50": 0.5, "map": 0.25, "parameters": 7, "per_class": {}}
    write_json(Path("outputs/evaluate/metrics.json"), {"teacher": scores, "student": scores})
    run_step(register_model, settings)
    assert decision()["reasons"] == ["mAP differs by 25.0 points from that of `evaluate`, more than 2.0"]


def test_a_version_has_its_lineage_in_tags_and_can_be_loaded(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    run_step(register_model, settings)
    version = Registry("kdflow-student").version("champion")
    content = decision()
    gate = {key: version.tags.pop(key) for key in sorted(version.tags) if "gate" in key}
    assert gate["kdflow.gate"] == "promote" and gate["kdflow.gate_data_digest"] == "0123"
    files = json.loads(version.tags.pop("kdflow.files"))
    assert files["artifacts/student.onnx"] == digest(OUTPUT / "student.onnx")
    assert files["model.safetensors"] == content["student_digest"] and "sbom.cdx.json" in files
    expected = json.loads(read_monitoring_reference(Registry("kdflow-student"), Registry("kdflow-student").version("champion")))
    assert expected["pictures"] == 4 and expected["model"] == content["content"] and expected["settings"]["confidence"] == 0.25
    assert sum(expected["objects"].values()) == sum(expected["histograms"]["score"]["counts"]) > 0
    assert version.tags == {
        "kdflow.preprocessing": "1",
        "kdflow.export_difference": f"{max(content['export']['box_difference'], content['export']['score_difference']):g}",
        "kdflow.previous_champion": "",
        "kdflow.content": digest(OUTPUT / "student.onnx"),
        "kdflow.student_digest": digest(Path("outputs/distill_student/model.safetensors")),
        "kdflow.teacher_digest": digest(Path("outputs/train_teacher/model.safetensors")),
        "kdflow.data_digest": "0123",
        "kdflow.params_digest": settings.only(set(type(settings).model_fields) - {"compose_scenes"}).digest(),
        "kdflow.execution": "one",
        "kdflow.git_commit": "abc",
        "kdflow.map": "0",
        "kdflow.map50": "0.5",
    }
    assert content["scores"]["baseline"] == {"map": 0.0, "map50": 0.5}
    assert content["export"]["pictures"] == 3 and content["export"]["detections"] > 0
    assert content["export"]["box_difference"] <= content["export"]["tolerance"] == settings.register_model.tolerance
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri())
    model = mlflow.pyfunc.load_model("models:/kdflow-student@champion")
    [prediction] = model.predict({"picture": [packed(Path("outputs/prepare_data/test"))["1.png"]]})
    assert len(prediction["boxes"]) == len(prediction["scores"]) == len(prediction["classes"]) > 0


def test_the_initial_weights_are_part_of_the_lineage(settings: Params) -> None:
    initial = {"init": "models:/m/3", "init_digest": "ab12", "init_license": "CC0", "init_classes": '{"a": "b"}'}
    initial["init_origin"] = "yolov3-tiny.conv.15 (SHA-256 cd34)"
    save_model(Path("outputs/distill_student/model.safetensors"), *random_network(seed=0), initial)
    run_step(register_model, settings)
    tags, content = Registry("kdflow-student").version("champion").tags, decision()
    assert {name: value for name, value in content.items() if "init" in name} == {f"student_{name}": initial[name] for name in initial}
    assert {name: value for name, value in tags.items() if "init" in name} == {f"kdflow.student_{name}": initial[name] for name in initial}
    description = MlflowClient(tracking_uri()).get_model_version("kdflow-student", "1").description
    assert "- student's initial weights: models:/m/3\n" in description
    assert "- license of the student's initial weights: CC0\n" in description
    assert "- renamed classes of the student's initial weights: &#123;&#34;a&#34;: &#34;b&#34;&#125;\n" in description
    assert "- origin of the student's initial weights: yolov3-tiny.conv.15 (SHA-256 cd34)\n" in description


def test_the_teacher_is_registered_if_it_has_a_name(settings: Params, capsys: pytest.CaptureFixture[str]) -> None:
    section = settings.register_model.model_copy(update={"teacher": "kdflow-teacher"})
    run_step(register_model, settings.model_copy(update={"register_model": section}))
    assert "kdflow-teacher version 1: promote (there is no champion yet)" in capsys.readouterr().out
    teacher, student = (Registry(name).version("champion") for name in ("kdflow-teacher", "kdflow-student"))
    assert digest_of_model(teacher) == digest(Path("outputs/train_teacher/model.safetensors")) == teacher.tags["kdflow.teacher_digest"]
    assert digest_of_model(student) == digest(Path("outputs/distill_student/model.safetensors"))
    assert teacher.tags["kdflow.map50"] == "0.5" and teacher.tags["kdflow.params_digest"] == student.tags["kdflow.params_digest"]


def digest_of_model(version: Version) -> str:
    return str(json.loads(version.tags["kdflow.files"])["model.safetensors"])


def test_an_export_that_differs_from_pytorch_is_not_registered(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "decode_boxes", lambda *inputs: (decode_boxes(*inputs)[0] + 1, decode_boxes(*inputs)[1]))
    with pytest.raises(InputError, match=r"differs from PyTorch \(boxes by 0\.01.*nothing is registered"):
        run_step(register_model, settings)
    assert not MlflowClient(tracking_uri()).search_registered_models()
    assert not OUTPUT.exists()


def test_without_a_registry_the_step_fails(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "START_TIMEOUT", 0.5)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:1")
    with pytest.raises(InputError, match=r"http://\*\*\*@127.0.0.1:1: MLflow has no run of this step .*does not answer"):
        run_step(register_model, settings)
    assert not OUTPUT.exists()


def test_a_missing_input_is_named(settings: Params) -> None:
    Path("outputs/evaluate/metrics.json").unlink()
    with pytest.raises(InputError, match=r"metrics\.json: is missing"):
        run_step(register_model, settings)
