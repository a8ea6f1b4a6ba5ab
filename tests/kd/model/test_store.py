import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kd.errors import InputError
from kd.model.build import Network, build_model
from kd.model.spec import ModelSpec
from kd.model.store import load_init_metadata, load_model, load_spec, load_training_pictures, save_model


def header_of(path: Path) -> dict:
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def test_a_loaded_model_equals_the_saved_one(model_file: Path, confident_network: Network, spec: ModelSpec) -> None:
    network, stored = load_model(model_file)
    assert stored == spec == load_spec(model_file) and not network.training
    state, expected = network.state_dict(), confident_network.state_dict()
    assert list(state) == list(expected) and all(torch.equal(state[name], expected[name]) for name in state)


def test_equal_content_gives_equal_bytes(tmp_path: Path, spec: ModelSpec) -> None:
    save_model(tmp_path / "a", build_model(spec, seed=3), spec)
    torch.rand(7)
    save_model(tmp_path / "b", build_model(spec, seed=3).to(memory_format=torch.channels_last), spec)
    save_model(tmp_path / "c", load_model(tmp_path / "a")[0], spec)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_what_is_known_of_the_initial_weights_is_stored(tmp_path: Path, spec: ModelSpec) -> None:
    network, initial = build_model(spec), {"init": "yolov3.weights", "init_digest": "0123"}
    for name in "abcdefgh":  # several keys of metadata would be in a random order
        save_model(tmp_path / name, network, spec, initial)
    assert len({(tmp_path / name).read_bytes() for name in "abcdefgh"}) == 1
    assert load_init_metadata(tmp_path / "a") == initial and load_model(tmp_path / "a")[1] == spec
    save_model(tmp_path / "random", network, spec)
    assert load_init_metadata(tmp_path / "random") == {}


def test_the_pictures_that_a_model_was_trained_on_are_stored_in_any_order(tmp_path: Path, spec: ModelSpec) -> None:
    network = build_model(spec)
    for name, pictures in (("a", {"01", "02", "03"}), ("b", ["03", "02", "01"])):
        save_model(tmp_path / name, network, spec, {"init": "x"}, pictures)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert load_training_pictures(tmp_path / "a") == {"01", "02", "03"} and load_init_metadata(tmp_path / "a") == {"init": "x"}
    save_model(tmp_path / "none", network, spec)
    assert load_training_pictures(tmp_path / "none") == frozenset()


def test_the_file_contains_only_numbers_and_json(model_file: Path, confident_network: Network, spec: ModelSpec) -> None:
    header = header_of(model_file)
    assert ModelSpec.from_json(header.pop("__metadata__")["kdflow"]) == spec
    assert set(header) == set(confident_network.state_dict())
    size = len(model_file.read_bytes())
    numbers = max(entry["data_offsets"][1] for entry in header.values())
    assert size - numbers - 8 - int.from_bytes(model_file.read_bytes()[:8], "little") == 0


@pytest.mark.parametrize("kept", [0, 5, 400, -100])
def test_a_truncated_file_is_rejected(model_file: Path, kept: int) -> None:
    model_file.write_bytes(model_file.read_bytes()[:kept])
    for load in (load_spec, load_model):
        with pytest.raises(InputError, match=r"model\.safetensors: is not a kdflow model"):
            load(model_file)


@pytest.mark.parametrize(
    "metadata", [None, {"kdflow": "nonsense"}, {"kdflow": "{}"}, {"kdflow": "[]"}, {"kdflow": "null"}, {"kdflow": "[" * 9999}]
)
def test_a_file_without_a_spec_is_rejected(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "x", metadata)
    with pytest.raises(InputError, match="is not a kdflow model"):
        load_model(tmp_path / "x")


def test_a_missing_file_and_a_folder_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing"):
        load_model(tmp_path / "none")
    with pytest.raises(InputError, match="is a folder"):
        load_model(tmp_path)


@pytest.mark.parametrize("width", [0.25, 1e5, float("inf"), -1, "a"])
def test_weights_that_do_not_fit_their_spec_are_rejected(width: float, tmp_path: Path, spec: ModelSpec) -> None:
    save_model(tmp_path / "x", build_model(spec), replace(spec, width=width))
    with pytest.raises(InputError, match="do not fit its spec"):
        load_model(tmp_path / "x")


def test_a_failed_save_keeps_the_old_model(model_file: Path, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    before = model_file.read_bytes()
    monkeypatch.setattr("kd.model.store.save_file", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_model(model_file, build_model(spec, seed=9), spec)
    assert model_file.read_bytes() == before and list(model_file.parent.iterdir()) == [model_file]
