"""The exported file has the same detections as the network, and its bytes depend only on the network."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from components.register_model import export
from components.register_model.export import export_onnx, postprocess_model
from components.register_model.parity import difference
from kd.detection.decode import Detections, decode_boxes, postprocess
from kd.detection.evaluate import NMSConfig
from kd.model.spec import Architecture
from tests.components.random_networks import SIDE, random_network

ROOT = Path(__file__).parents[3]
OUTPUTS = ["boxes", "scores", "labels", "pictures"]


def load(model: Path | bytes) -> Callable[[dict[str, Any]], list[Any]]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(OUTPUTS, {name: tensor.numpy() for name, tensor in inputs.items()})


def by_picture(outputs: list[np.ndarray], batch: int) -> list[Detections]:
    """Check the types and the order of the outputs, and split them by picture."""
    boxes, scores, labels, pictures = outputs
    assert [array.dtype for array in outputs] == [np.float32, np.float32, np.int64, np.int64]
    assert boxes.shape == (len(scores), 4) and len(labels) == len(pictures) == len(scores)
    assert (np.lexsort((-scores, pictures)) == np.arange(len(scores))).all()
    return [Detections(*(torch.from_numpy(array[pictures == i]) for array in (boxes, scores, labels))) for i in range(batch)]


def candidates(batch: int, count: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping boxes with scores in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(batch, count, 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + 5 + torch.rand(batch, count, 2, generator=generator) * 60], dim=2)
    return boxes, torch.rand(batch, count, classes, generator=generator) ** 3


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("confidence", [0.0, 0.001, 0.3, 0.9])
@pytest.mark.parametrize(("nms_iou", "max_detections"), [(0.3, 100), (0.6, 7), (0.9, 5000)])
def test_postprocessing_equals_torchvision(batch: int, confidence: float, nms_iou: float, max_detections: int) -> None:
    boxes, scores = candidates(batch, count=300, classes=4, seed=batch)
    run = load(postprocess_model(300, 4, NMSConfig(confidence, nms_iou, max_detections), 10, 18).SerializeToString())
    outputs = run({"candidates": boxes, "strengths": scores})
    for i, actual in enumerate(by_picture(outputs, batch)):
        expected = postprocess(boxes[i], scores[i], confidence, nms_iou, max_detections)
        assert 0 < len(expected.scores) <= max_detections
        for one, other in zip(expected, actual, strict=True):
            assert torch.equal(one, other)


def test_inputs_override_the_default_settings() -> None:
    boxes, scores = candidates(batch=2, count=300, classes=4, seed=0)
    run = load(postprocess_model(300, 4, NMSConfig(0.9, 0.3, 7), 10, 18).SerializeToString())
    for confidence, nms_iou, max_detections in ((0.001, 0.6, 100), (0.5, 0.9, 5000), (0.9, 0.3, 0)):
        settings = {"confidence": torch.tensor(confidence), "nms_iou": torch.tensor(nms_iou), "most": torch.tensor(max_detections)}
        outputs = run({"candidates": boxes, "strengths": scores, **settings})
        for i, actual in enumerate(by_picture(outputs, 2)):
            expected = postprocess(boxes[i], scores[i], confidence, nms_iou, max_detections)
            assert all(torch.equal(one, other) for one, other in zip(expected, actual, strict=True))


def test_candidates_are_limited_before_suppression_like_in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MAX_CANDIDATES", 20)
    boxes, scores = candidates(batch=2, count=300, classes=4, seed=0)
    run = load(postprocess_model(300, 4, NMSConfig(0.001, 0.9, 100), 10, 18).SerializeToString())
    for i, actual in enumerate(by_picture(run({"candidates": boxes, "strengths": scores}), 2)):
        expected = postprocess(boxes[i], scores[i], 0.001, 0.9, 100, max_candidates=20)
        assert torch.equal(expected.boxes, actual.boxes) and len(expected.boxes) <= 20


def test_equal_scores_and_pictures_without_detections() -> None:
    boxes, scores = candidates(batch=3, count=50, classes=2, seed=0)
    scores[0], scores[1], scores[2] = 0.5, 0.0, 1.0
    run = load(postprocess_model(50, 2, NMSConfig(0.25, 0.5, 100), 10, 18).SerializeToString())
    detections = by_picture(run({"candidates": boxes, "strengths": scores}), 3)
    assert len(detections[1].scores) == 0
    for i, actual in enumerate(detections):
        expected = postprocess(boxes[i], scores[i], 0.25, 0.5, 100)
        assert difference(expected, actual, 128, 0.25) == (0, 0)
    assert all(len(array) == 0 for array in run({"candidates": boxes[1:2], "strengths": scores[1:2]}))


@pytest.mark.parametrize(("architecture", "opset"), [("yolov3-tiny", 18), ("yolov3", 20)])
def test_export_equals_the_network(architecture: Architecture, opset: int, tmp_path: Path) -> None:
    network, spec = random_network(architecture)
    nms = NMSConfig(0.3, 0.5, 20)
    export_onnx(network, spec, tmp_path / "model.onnx", nms, opset)
    run = load(tmp_path / "model.onnx")
    for batch in (1, 2, 5):
        images = torch.rand(batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            boxes, scores = decode_boxes(network(images).heads, spec.anchors)
        for i, actual in enumerate(by_picture(run({"images": images}), batch)):
            expected = postprocess(boxes[i], scores[i], nms.confidence, nms.nms_iou, nms.max_detections)
            assert len(expected.scores) > 3
            assert max(difference(expected, actual, SIDE, nms.confidence)) < 1e-5


def test_the_export_declares_its_inputs_and_outputs(tmp_path: Path) -> None:
    network, spec = random_network()
    export_onnx(network, spec, tmp_path / "model.onnx", NMSConfig(0.3, 0.5, 20), 18)
    model = onnx.load(tmp_path / "model.onnx")
    assert [value.name for value in model.graph.input] == ["images", "confidence", "nms_iou", "most"]
    shape = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert (model.graph.input[0].name, shape) == ("images", ["N", 3, SIDE, SIDE])
    assert [output.name for output in model.graph.output] == OUTPUTS
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata == {"classes": json.dumps(spec.classes), "image_size": str(SIDE)}


def test_the_export_depends_only_on_the_network(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from components.register_model.export import export_onnx\n"
        "from kd.detection.evaluate import NMSConfig; from tests.components.random_networks import random_network\n"
        "export_onnx(*random_network(), Path(sys.argv[1]), NMSConfig(0.3, 0.5, 20), 18)"
    )
    other_folder = tmp_path / "other folder"
    other_folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", program, "other name.onnx"]
    completed = subprocess.run(command, cwd=other_folder, env=environment, capture_output=True, text=True, check=True)
    assert (completed.stdout, completed.stderr) == ("", "")
    export_onnx(*random_network(), tmp_path / "model.onnx", NMSConfig(0.3, 0.5, 20), 18)
    content = (tmp_path / "model.onnx").read_bytes()
    assert content == (other_folder / "other name.onnx").read_bytes()
    for text in (str(ROOT), str(tmp_path), "site-packages", ".py", "stack_trace", "torch"):
        assert text.encode() not in content


def test_the_log_of_a_step_on_kubeflow_has_no_lines_about_the_graph(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Kubeflow sets the root logger to INFO."""
    with caplog.at_level("INFO"):
        export_onnx(*random_network(), tmp_path / "model.onnx", NMSConfig(0.3, 0.5, 20), 18)
    assert caplog.messages == []
