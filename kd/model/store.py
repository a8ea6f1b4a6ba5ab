"""A model on disk: one safetensors file whose metadata rebuilds the network. No pickles."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kd.errors import InputError
from kd.files import atomic_file
from kd.model.build import Network, build_model
from kd.model.spec import ModelSpec

INITIAL = "initial_weights"
"""Key in the metadata, next to the fields of the spec."""


def save_model(path: Path, network: Network, spec: ModelSpec, initial: Mapping[str, str] | None = None) -> None:
    """Write weights, spec and, if there were any, what is known of the initial weights; equal content gives equal bytes."""
    text = spec.to_json()
    if initial:
        text = json.dumps(json.loads(text) | {INITIAL: dict(initial)}, sort_keys=True)
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
    return _read_metadata(path)[1]


def _read_metadata(path: Path) -> tuple[ModelSpec, dict[str, str]]:
    if path.is_dir():
        raise InputError(path, "is a folder", "give the model.safetensors in it")
    try:
        with safe_open(path, "pt") as file:
            fields = json.loads((file.metadata() or {})["kdflow"])
            initial = fields.pop(INITIAL, {})
            return ModelSpec.from_json(json.dumps(fields)), dict(initial)
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
