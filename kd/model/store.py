"""A model on disk: one safetensors file whose metadata rebuilds the network. No pickles."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kd.errors import InputError
from kd.files import atomic_file
from kd.model.build import Network, build_model
from kd.model.spec import ModelSpec

INITIAL, PICTURES = "initial_weights", "training_pictures"
"""Keys in the metadata, next to the fields of the spec."""


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
    """
    known = ({INITIAL: dict(initial)} if initial else {}) | ({PICTURES: sorted(pictures)} if pictures else {})
    text = json.dumps(json.loads(spec.to_json()) | known, sort_keys=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in sorted(network.state_dict().items())}
    with atomic_file(path) as temporary:
        save_file(weights, temporary, metadata={"kdflow": text})  # safetensors writes several keys in a random order
        temporary.chmod(0o644)  # safetensors makes it readable by its owner only, but the next container may be another user


def load_spec(path: Path) -> ModelSpec:
    """Read the spec only.

    Raises:
        InputError: if `path` is missing or is not a model that kdflow wrote.
    """
    return _read_metadata(path)[0]


def load_init_metadata(path: Path) -> dict[str, str]:
    """What is known of the initial weights of the training: the parameter `init` and the SHA-256. Empty if they were random.

    Raises:
        InputError: as `load_spec`.
    """
    return dict(_read_metadata(path)[1].get(INITIAL, {}))


def load_training_pictures(path: Path) -> frozenset[str]:
    """Digests of the pictures that the model was trained on. Empty if they are not recorded.

    Raises:
        InputError: as `load_spec`.
    """
    return frozenset(_read_metadata(path)[1].get(PICTURES, []))


def _read_metadata(path: Path) -> tuple[ModelSpec, dict[str, Any]]:
    """The spec, and what is recorded beside it."""
    if path.is_dir():
        raise InputError(path, "is a folder", "give the model.safetensors in it")
    try:
        with safe_open(path, "pt") as file:
            fields = json.loads((file.metadata() or {})["kdflow"])
            recorded = {key: fields.pop(key) for key in (INITIAL, PICTURES) if key in fields}
            return ModelSpec.from_json(json.dumps(fields)), recorded
    except FileNotFoundError:
        raise InputError(path, "is missing", "check the path, or run the step that trains it") from None
    except (SafetensorError, AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise InputError(path, "is not a kdflow model", "give a model.safetensors that kdflow wrote, or convert a .weights file") from None


def load_model(path: Path) -> tuple[Network, ModelSpec]:
    """Rebuild the network, in evaluation mode on the CPU.

    Raises:
        InputError: if `path` is missing, is not a model that kdflow wrote, or its weights do not fit its spec.
    """
    spec = load_spec(path)
    with safe_open(path, "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the handle is not a mapping)
    try:
        with torch.device("meta"):  # a damaged spec may ask for more memory than there is
            build_model(spec).load_state_dict(weights, assign=True)
        network = build_model(spec)
        network.load_state_dict(weights)
    except (ArithmeticError, RuntimeError, TypeError, ValueError):
        raise InputError(path, "its weights do not fit its spec", "train or convert it again") from None
    return network.eval(), spec
