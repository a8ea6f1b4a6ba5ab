import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from kd.data.anchors import COCO_ANCHORS
from kd.errors import InputError
from kd.model.build import Network, build_model
from kd.model.spec import ModelSpec
from kd.model.store import load_init_metadata, load_model, load_spec, load_training_pictures, save_model
from tests.full_disk import files_limited_to


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
    network, initial = build_model(spec), {"init": "x", "init_digest": "0123"}
    for name, pictures in (("a", {"01", "02", "03"}), ("b", ["03", "02", "01"])):
        save_model(tmp_path / name, network, spec, initial, pictures)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert load_training_pictures(tmp_path / "a") == {"01", "02", "03"} and load_init_metadata(tmp_path / "a") == initial
    save_model(tmp_path / "none", network, spec)
    assert load_training_pictures(tmp_path / "none") == frozenset()


def test_the_file_contains_only_numbers_and_json(model_file: Path, confident_network: Network, spec: ModelSpec) -> None:
    header = header_of(model_file)
    assert ModelSpec.from_fields(json.loads(header.pop("__metadata__")["kdflow"])) == spec
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


ODD_FIELDS = [
    *({"depth": depth} for depth in (1e9, 5, 0, float("nan"), float("inf"), "1", True, None)),
    *({"width": width} for width in (1e5, -1, "a")),
    *({"image_size": size} for size in (10**9, 10**400, 8192, 48, 0, -32, 64.0, "64")),
    *({"classes": classes} for classes in ([], "ab", [1, 2], ["a", "a"], [""], [str(k) for k in range(10_001)])),
    *({"anchors": {"16": shapes, "32": [[1, 1]] * 3}} for shapes in ([], [[1, 1]] * 2, [[1, 1, 1]] * 3, [["a", 1]] * 3, [[1, 1e300]] * 3)),
    *({"anchors": anchors} for anchors in ([], {}, {"32": [[1, 1]] * 3}, {str(k): [[1, 1]] * 3 for k in (8, 16, 32)})),
    *({"architecture": architecture} for architecture in ("yolov9", ["yolov3"], 3)),
    *({"initial_weights": initial} for initial in ([1], {"init": 3}, {"init": "x"}, {"init": "x", "init_digest": None})),
    *({"training_pictures": pictures} for pictures in (3, "ab", [[1]], [1])),
    {"another": 1},
]


@pytest.mark.parametrize("odd", ODD_FIELDS, ids=lambda odd: str(odd)[:40])
def test_metadata_of_a_wrong_type_or_beyond_a_limit_are_one_error(odd: dict[str, object], tmp_path: Path, spec: ModelSpec) -> None:
    text = json.dumps(json.loads(spec.to_json()) | odd)
    save_file({"x": torch.zeros(2)}, tmp_path / "x", {"kdflow": text})
    with pytest.raises(InputError, match=r"is not a kdflow model \(") as error:
        load_spec(tmp_path / "x")
    assert len(str(error.value)) < 500


def test_a_header_with_a_million_tensors_is_not_parsed(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = model_file.read_bytes()
    tensors = {f"t{k}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for k in range(30_000)}
    header = json.dumps(header_of(model_file) | tensors).encode()
    model_file.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + int.from_bytes(content[:8], "little") :])
    monkeypatch.setattr("kd.model.store.safe_open", None)
    with pytest.raises(InputError, match=r"is not a kdflow model \(it has 30,\d\d\d tensors\)"):
        load_spec(model_file)


@pytest.mark.parametrize(
    "changes", [{"width": 0.25}, {"width": 4.0}, {"classes": ("cat",)}, {"architecture": "yolov3", "anchors": COCO_ANCHORS["yolov3"]}]
)
def test_weights_that_do_not_fit_their_spec_are_rejected(changes: dict[str, Any], tmp_path: Path, spec: ModelSpec) -> None:
    save_model(tmp_path / "x", build_model(spec), replace(spec, **changes))
    with pytest.raises(InputError, match="do not fit its spec"):
        load_model(tmp_path / "x")


def test_a_failed_save_keeps_the_old_model(model_file: Path, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    before = model_file.read_bytes()
    monkeypatch.setattr("kd.model.store.save_file", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_model(model_file, build_model(spec, seed=9), spec)
    assert model_file.read_bytes() == before and list(model_file.parent.iterdir()) == [model_file]


def test_the_error_of_a_full_disk_names_the_model(model_file: Path, spec: ModelSpec) -> None:
    before = model_file.read_bytes()
    with files_limited_to(5000), pytest.raises(InputError, match=r"model\.safetensors: cannot be written .*; free some space"):
        save_model(model_file, build_model(spec, seed=9), spec)
    assert model_file.read_bytes() == before and list(model_file.parent.iterdir()) == [model_file]
