"""The exported file finds what the network finds, and depends on nothing else."""

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
from tests.components.lively import SIDE, lively_network

ROOT = Path(__file__).parents[2]
OUTPUTS = ["boxes", "scores", "labels", "pictures"]


def session(model: Path | bytes) -> Callable[[dict[str, Any]], list[Any]]:
    runtime = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda inputs: runtime.run(OUTPUTS, {name: tensor.numpy() for name, tensor in inputs.items()})


def by_picture(outputs: list[np.ndarray], batch: int) -> list[Detections]:
    """The outputs split up, after a look at their types and their order."""
    boxes, scores, labels, pictures = outputs
    assert [array.dtype for array in outputs] == [np.float32, np.float32, np.int64, np.int64]
    assert boxes.shape == (len(scores), 4) and len(labels) == len(pictures) == len(scores)
    assert (np.lexsort((-scores, pictures)) == np.arange(len(scores))).all()
    return [Detections(*(torch.from_numpy(array[pictures == i]) for array in (boxes, scores, labels))) for i in range(batch)]


def candidates(batch: int, places: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping boxes with all sorts of scores."""
    source = torch.Generator().manual_seed(seed)
    corner = torch.rand(batch, places, 2, generator=source) * 60
    boxes = torch.cat([corner, corner + 5 + torch.rand(batch, places, 2, generator=source) * 60], dim=2)
    return boxes, torch.rand(batch, places, classes, generator=source) ** 3


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("confidence", [0.0, 0.001, 0.3, 0.9])
@pytest.mark.parametrize(("nms_iou", "most"), [(0.3, 100), (0.6, 7), (0.9, 5000)])
def test_selection_equals_torchvisions(batch: int, confidence: float, nms_iou: float, most: int) -> None:
    boxes, scores = candidates(batch, places=300, classes=4, seed=batch)
    run = session(postprocess_model(300, 4, NMSConfig(confidence, nms_iou, most), 10, 18).SerializeToString())
    outputs = run({"candidates": boxes, "strengths": scores})
    for i, theirs in enumerate(by_picture(outputs, batch)):
        ours = postprocess(boxes[i], scores[i], confidence, nms_iou, most)
        assert 0 < len(ours.scores) <= most
        for mine, other in zip(ours, theirs, strict=True):
            assert torch.equal(mine, other)


def test_a_caller_may_choose_other_numbers() -> None:
    boxes, scores = candidates(batch=2, places=300, classes=4, seed=0)
    run = session(postprocess_model(300, 4, NMSConfig(0.9, 0.3, 7), 10, 18).SerializeToString())
    for confidence, nms_iou, most in ((0.001, 0.6, 100), (0.5, 0.9, 5000), (0.9, 0.3, 0)):
        numbers = {"confidence": torch.tensor(confidence), "nms_iou": torch.tensor(nms_iou), "most": torch.tensor(most)}
        outputs = run({"candidates": boxes, "strengths": scores, **numbers})
        for i, theirs in enumerate(by_picture(outputs, 2)):
            ours = postprocess(boxes[i], scores[i], confidence, nms_iou, most)
            assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


def test_selection_limits_the_candidates_as_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BEFORE_NMS", 20)
    boxes, scores = candidates(batch=2, places=300, classes=4, seed=0)
    run = session(postprocess_model(300, 4, NMSConfig(0.001, 0.9, 100), 10, 18).SerializeToString())
    for i, theirs in enumerate(by_picture(run({"candidates": boxes, "strengths": scores}), 2)):
        ours = postprocess(boxes[i], scores[i], 0.001, 0.9, 100, before_nms=20)
        assert torch.equal(ours.boxes, theirs.boxes) and len(ours.boxes) <= 20


def test_selection_takes_equal_scores_and_none_at_all() -> None:
    boxes, scores = candidates(batch=3, places=50, classes=2, seed=0)
    scores[0], scores[1], scores[2] = 0.5, 0.0, 1.0
    run = session(postprocess_model(50, 2, NMSConfig(0.25, 0.5, 100), 10, 18).SerializeToString())
    found = by_picture(run({"candidates": boxes, "strengths": scores}), 3)
    assert len(found[1].scores) == 0
    for i, theirs in enumerate(found):
        ours = postprocess(boxes[i], scores[i], 0.25, 0.5, 100)
        assert difference(ours, theirs, 128, 0.25) == (0, 0)
    assert all(len(array) == 0 for array in run({"candidates": boxes[1:2], "strengths": scores[1:2]}))


@pytest.mark.parametrize(("architecture", "opset"), [("yolov3-tiny", 18), ("yolov3", 20)])
def test_export_equals_the_network(architecture: Architecture, opset: int, tmp_path: Path) -> None:
    network, spec = lively_network(architecture)
    nms = NMSConfig(0.3, 0.5, 20)
    export_onnx(network, spec, tmp_path / "model.onnx", nms, opset)
    run = session(tmp_path / "model.onnx")
    for batch in (1, 2, 5):
        images = torch.rand(batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            boxes, scores = decode_boxes(network(images).heads, spec.anchors)
        for i, theirs in enumerate(by_picture(run({"images": images}), batch)):
            ours = postprocess(boxes[i], scores[i], nms.confidence, nms.nms_iou, nms.most)
            assert len(ours.scores) > 3
            assert max(difference(ours, theirs, SIDE, nms.confidence)) < 1e-5


def test_export_says_what_it_takes_and_gives(tmp_path: Path) -> None:
    network, spec = lively_network()
    export_onnx(network, spec, tmp_path / "model.onnx", NMSConfig(0.3, 0.5, 20), 18)
    model = onnx.load(tmp_path / "model.onnx")
    assert [value.name for value in model.graph.input] == ["images", "confidence", "nms_iou", "most"]
    shape = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert (model.graph.input[0].name, shape) == ("images", ["N", 3, SIDE, SIDE])
    assert [output.name for output in model.graph.output] == OUTPUTS
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata == {"classes": json.dumps(spec.classes), "image_size": str(SIDE)}


def test_export_depends_on_the_network_alone(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from components.register_model.export import export_onnx\n"
        "from kd.detection.evaluate import Selection; from tests.components.lively import lively_network\n"
        "export_onnx(*lively_network(), Path(sys.argv[1]), Selection(0.3, 0.5, 20), 18)"
    )
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", program, "other name.onnx"]
    answer = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True)
    assert (answer.stdout, answer.stderr) == ("", "")
    export_onnx(*lively_network(), tmp_path / "model.onnx", NMSConfig(0.3, 0.5, 20), 18)
    content = (tmp_path / "model.onnx").read_bytes()
    assert content == (elsewhere / "other name.onnx").read_bytes()
    for trace in (str(ROOT), str(tmp_path), "site-packages", ".py", "stack_trace", "torch"):
        assert trace.encode() not in content
