"""The state of a training on disk: an interrupted training resumes from it and ends with the same weights.

Random states are not saved, because the random numbers of an epoch depend on (seed, epoch, picture) only.
"""

from pathlib import Path
from typing import Any

import torch

from kd.errors import InputError
from kd.files import atomic_file

State = dict[str, Any]


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
    if not path.exists():
        return None
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # the unpickler raises any kind of error for a damaged file, also one without a message
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(path, f"is not a checkpoint ({reason})", "delete it to train from the start") from None
    return state
