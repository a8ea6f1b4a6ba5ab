"""The state of a training on disk: an interrupted training resumes from it and ends with the same weights.

Random states are not saved, because the random numbers of an epoch depend on (seed, epoch, picture) only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kd.errors import InputError
from kd.files import atomic_file

State = dict[str, Any]
Parts = Mapping[str, nn.Module | torch.optim.Optimizer | torch.GradScaler]
"""By name, everything whose state a checkpoint has."""


def save_checkpoint(path: Path, state: State) -> None:
    """Replace the checkpoint by `state`: tensors, numbers, strings, lists and dictionaries.

    Raises:
        InputError: if it cannot be written; the last checkpoint is kept.
    """
    try:
        with atomic_file(path) as temporary:
            torch.save(state, temporary)
    except (OSError, RuntimeError) as error:
        remedy = "free some space or make the folder writable, then run again: the training resumes"
        raise InputError(path, f"checkpoint cannot be written ({error})", remedy) from error


def load_checkpoint(path: Path) -> State | None:
    """The saved state, or None if there is none; a file with code in it is refused.

    Raises:
        InputError: if the file is not a checkpoint.
    """
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:  # not asked for before, because another run of the same training deletes it at its end
        return None
    except OSError:
        raise
    except Exception as error:  # the unpickler raises any kind of error for a damaged file, also one without a message
        raise InputError(path, f"is not a checkpoint ({_reason(error)})", "delete it to train from the start") from None
    return state


def restore_checkpoint(path: Path, parts: Parts) -> list[dict[str, float]]:
    """Load the saved state into `parts` and return the metrics of the epochs so far; [] if there is no checkpoint.

    Raises:
        InputError: if the file is not a checkpoint, or that of another training.
    """
    state = load_checkpoint(path)
    if state is None:
        return []
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        return [{name: float(value) for name, value in metrics.items()} for metrics in state["history"]]
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        problem = f"is not a checkpoint of this training ({_reason(error)})"
        raise InputError(path, problem, "delete it to train from the start") from None


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
