"""Where a training stands, on disk, so that a killed run goes on and ends with the same weights.

Random state needs no keeping: what an epoch draws depends on (seed, epoch, picture) alone.
"""

from pathlib import Path
from typing import Any

import torch

from kd.errors import InputError
from kd.files import atomic_file

State = dict[str, Any]


def save_checkpoint(path: Path, state: State) -> None:
    """Write `state` (tensors, numbers, strings, lists and dictionaries) in place of the last one.

    Raises:
        InputError: if the disk refuses it; the last checkpoint stays whole.
    """
    try:
        with atomic_file(path) as temporary:
            torch.save(state, temporary)
    except (OSError, RuntimeError) as error:
        remedy = "free some space, then run again: the training goes on"
        raise InputError(path, f"checkpoint cannot be written ({error})", remedy) from error


def load_checkpoint(path: Path) -> State | None:
    """The state that was saved, or None if there is none; no code in it is ever run.

    Raises:
        InputError: if the file is no checkpoint.
    """
    if not path.exists():
        return None
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a broken file makes the unpickler fail in any way: KeyError, IndexError, an EOFError without words
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(path, f"is no checkpoint ({reason})", "delete it to train from the start") from None
    return state
