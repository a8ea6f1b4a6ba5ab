"""What is recorded about initial weights over several rounds, and how well their anchors fit."""

from pathlib import Path

import pytest

from components.shared.initial_network import describe_origin, mean_best_iou
from components.shared.initial_weights import InitialWeights
from kd.data.anchors import COCO_ANCHORS, TINY_CFG_ANCHORS
from kd.model.build import build_model
from kd.model.store import load_init_metadata, save_model
from tests.kd.train.squares import spec_for


def test_origin_and_license_are_inherited_over_several_rounds(tmp_path: Path) -> None:
    source, license = InitialWeights("yolov3-tiny.conv.15", tmp_path / "weights", "ab12"), "YOLO license"
    for round in (1, 2, 3):
        model = tmp_path / f"{round}.safetensors"
        save_model(model, build_model(spec_for()), spec_for(), describe_origin(source, license, {}))
        source, license = InitialWeights(f"models:/m/{round}", model, "cd34"), ""
    first, second, third = (load_init_metadata(tmp_path / f"{round}.safetensors") for round in (1, 2, 3))
    assert first == {"init": "yolov3-tiny.conv.15", "init_digest": "ab12", "init_license": "YOLO license"}
    inherited = {"init_license": "YOLO license", "init_origin": "yolov3-tiny.conv.15 (SHA-256 ab12)"}
    assert second == {"init": "models:/m/1", "init_digest": "cd34", **inherited}
    assert third == {"init": "models:/m/2", "init_digest": "cd34", **inherited}


def test_a_model_that_started_from_random_weights_is_the_origin_itself(tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", build_model(spec_for()), spec_for())
    assert describe_origin(InitialWeights("m", tmp_path / "m.safetensors", "ab12"), "", {}) == {"init": "m", "init_digest": "ab12"}


def test_renamed_classes_are_recorded_for_their_own_weights_only(tmp_path: Path) -> None:
    origin = describe_origin(InitialWeights("x.weights", tmp_path / "x.weights", "ab12"), "", {"tvmonitor": "tv", "sofa": "Sofá"})
    assert origin == {"init": "x.weights", "init_digest": "ab12", "init_classes": '{"sofa": "Sofá", "tvmonitor": "tv"}'}
    save_model(tmp_path / "m.safetensors", build_model(spec_for()), spec_for(), origin)
    assert load_init_metadata(tmp_path / "m.safetensors") == origin
    assert "init_classes" not in describe_origin(InitialWeights("m", tmp_path / "m.safetensors", "cd34"), "", {})


def test_anchors_are_compared_with_the_best_ones_of_any_stride() -> None:
    assert mean_best_iou(COCO_ANCHORS["yolov3"], COCO_ANCHORS["yolov3"]) == 1
    assert mean_best_iou({16: [(4, 2)]}, {32: [(2, 4), (1, 1)], 8: [(2, 2)]}) == pytest.approx(0.5)  # IoU 1/3, 1/8 and 1/2
    assert 0.5 < mean_best_iou(TINY_CFG_ANCHORS, COCO_ANCHORS["yolov3-tiny"]) < 1
