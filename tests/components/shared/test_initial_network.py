"""What is recorded about initial weights, over several rounds."""

from pathlib import Path

from components.shared.initial_network import describe_origin
from components.shared.initial_weights import InitialWeights
from kd.model.build import build_model
from kd.model.store import load_initial, save_model
from tests.kd.train.squares import spec_for


def test_origin_and_license_are_inherited_over_several_rounds(tmp_path: Path) -> None:
    source, license = InitialWeights("yolov3-tiny.conv.15", tmp_path / "weights", "ab12"), "YOLO license"
    for round in (1, 2, 3):
        model = tmp_path / f"{round}.safetensors"
        save_model(model, build_model(spec_for()), spec_for(), describe_origin(source, license))
        source, license = InitialWeights(f"models:/m/{round}", model, "cd34"), ""
    first, second, third = (load_initial(tmp_path / f"{round}.safetensors") for round in (1, 2, 3))
    assert first == {"init": "yolov3-tiny.conv.15", "init_digest": "ab12", "init_license": "YOLO license"}
    inherited = {"init_license": "YOLO license", "init_origin": "yolov3-tiny.conv.15 (SHA-256 ab12)"}
    assert second == {"init": "models:/m/1", "init_digest": "cd34", **inherited}
    assert third == {"init": "models:/m/2", "init_digest": "cd34", **inherited}


def test_a_model_that_started_from_random_weights_is_the_origin_itself(tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", build_model(spec_for()), spec_for())
    assert describe_origin(InitialWeights("m", tmp_path / "m.safetensors", "ab12"), "") == {"init": "m", "init_digest": "ab12"}
