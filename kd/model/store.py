"""A model on disk: one safetensors file whose metadata rebuilds the network. No pickles."""

import json
import reprlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kd.errors import InputError
from kd.files import atomic_file
from kd.model.build import Network, build_model
from kd.model.limits import MAX_TENSORS
from kd.model.spec import ModelSpec

INITIAL, PICTURES = "initial_weights", "training_pictures"
"""Keys in the metadata, next to the fields of the spec."""
INITIAL_KEYS = {"init", "init_digest"}
"""What is always recorded about initial weights."""
HEADER_CHUNK = 2**20
"""Bytes."""
REMEDY = "give a model.safetensors that kdflow wrote, or convert a .weights file"


def save_model(
    path: Path, network: Network, spec: ModelSpec, initial: Mapping[str, str] | None = None, pictures: Collection[str] = ()
) -> None:
    """Write a model; equal content gives equal bytes.

    Args:
        path: the file.
        network: its weights are written.
        spec: what rebuilds the network.
        initial: what is known of the initial weights, if there were any.
        pictures: digests of the pictures that the network was trained on.

    Raises:
        InputError: if it cannot be written; an old file is kept.
    """
    known = ({INITIAL: dict(initial)} if initial else {}) | ({PICTURES: sorted(pictures)} if pictures else {})
    text = json.dumps(json.loads(spec.to_json()) | known, sort_keys=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in sorted(network.state_dict().items())}
    with atomic_file(path) as temporary:
        try:
            save_file(weights, temporary, metadata={"kdflow": text})  # safetensors writes several keys in a random order
        except SafetensorError as error:
            raise InputError(path, f"cannot be written ({error})", "free some space or choose another folder, then run again") from None
        temporary.chmod(0o644)  # safetensors makes it readable by its owner only, but the next container may be another user


class _Metadata(NamedTuple):
    """What a model file records beside its weights."""

    spec: ModelSpec
    initial: dict[str, str]
    pictures: frozenset[str]


def load_spec(path: Path) -> ModelSpec:
    """Read the spec only.

    Raises:
        InputError: if `path` is missing or is not a model that kdflow wrote.
    """
    return _read_metadata(path).spec


def load_init_metadata(path: Path) -> dict[str, str]:
    """What is known of the initial weights of the training: the parameter `init` and the SHA-256. Empty if they were random.

    Raises:
        InputError: as `load_spec`.
    """
    return _read_metadata(path).initial


def load_training_pictures(path: Path) -> frozenset[str]:
    """Digests of the pictures that the model was trained on. Empty if they are not recorded.

    Raises:
        InputError: as `load_spec`.
    """
    return _read_metadata(path).pictures


def load_model(path: Path) -> tuple[Network, ModelSpec]:
    """Rebuild the network, in evaluation mode on the CPU.

    Raises:
        InputError: if `path` is missing, is not a model that kdflow wrote, or its weights do not fit its spec.
    """
    spec = load_spec(path)
    with torch.device("meta"):  # without memory for the weights, because a damaged file may have a spec of another size
        expected = {name: list(tensor.shape) for name, tensor in build_model(spec).state_dict().items()}
    with safe_open(path, "pt") as file:
        names = list(file.keys())
        if set(names) != set(expected) or any(file.get_slice(name).get_shape() != expected[name] for name in names):
            raise InputError(path, "its weights do not fit its spec", "train or convert it again")
        network = build_model(spec)
        network.load_state_dict({name: file.get_tensor(name) for name in names})
    return network.eval(), spec


def _read_metadata(path: Path) -> _Metadata:
    if path.is_dir():
        raise InputError(path, "is a folder", "give the model.safetensors in it")
    try:
        _check_tensor_count(path)
        with safe_open(path, "pt") as file:
            return _parse_metadata((file.metadata() or {})["kdflow"])
    except FileNotFoundError:
        raise InputError(path, "is missing", "check the path, or run the step that trains it") from None
    except (SafetensorError, KeyError):
        raise InputError(path, "is not a kdflow model", REMEDY) from None
    except (RecursionError, ValueError) as error:
        raise InputError(path, f"is not a kdflow model ({error})", REMEDY) from None


def _check_tensor_count(path: Path) -> None:
    """Raise `ValueError` if the header names more than `MAX_TENSORS` tensors; safetensors needs seconds and 800 MB for a million."""
    with path.open("rb") as file:
        chunks = range(0, int.from_bytes(file.read(8), "little"), HEADER_CHUNK)
        count = sum(chunk.count(b'"dtype"') for _, chunk in zip(chunks, iter(lambda: file.read(HEADER_CHUNK), b""), strict=False))
    if count > MAX_TENSORS:
        raise ValueError(f"it has {count:,} tensors")


def _parse_metadata(text: str) -> _Metadata:
    """The metadata in the JSON object that `save_model` wrote.

    Raises:
        ValueError, RecursionError: if `text` is anything else.
    """
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError("its metadata are not an object")
    initial, pictures = fields.pop(INITIAL, {}), fields.pop(PICTURES, [])
    if not isinstance(initial, dict) or not _are_strings(initial.values()) or (initial and not initial.keys() >= INITIAL_KEYS):
        raise ValueError(f"its {INITIAL} are {reprlib.repr(initial)}")
    if not isinstance(pictures, list) or not _are_strings(pictures):
        raise ValueError(f"its {PICTURES} are {reprlib.repr(pictures)}")
    return _Metadata(ModelSpec.from_fields(fields), initial, frozenset(pictures))


def _are_strings(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
