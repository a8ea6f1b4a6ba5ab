"""The errors a user can mend, and how a command shows them."""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(Exception):
    """Something in the user's files or settings is wrong and the user can mend it.

    Args:
        where: the file, or the parameter, that is wrong.
        problem: what is wrong, naming the field.
        remedy: what to do about it.
    """

    def __init__(self, where: str | Path, problem: str, remedy: str) -> None:
        super().__init__(where, problem, remedy)

    def __str__(self) -> str:
        return "{}: {}; {}".format(*self.args)


def handle_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command end an `InputError`, or a file system's refusal, in one line and exit code 2."""

    @functools.wraps(command)
    def guarded(*args: object, **kwargs: object) -> None:
        with clean_exit():
            command(*args, **kwargs)

    return guarded


@contextmanager
def clean_exit() -> Iterator[None]:
    """Like `handle_errors`, for a block, or with `@clean_exit()` for a function that returns something."""
    try:
        yield
    except InputError as error:
        sys.exit(fail(str(error)))
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left; there is nobody to tell
        sys.exit(141)
    except OSError as error:
        sys.exit(fail(f"{error.filename or 'file system'}: {error.strerror or error}; {_remedy(error)}"))
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        sys.exit(130)


def fail(message: str) -> int:
    """Print `message` as the one error line and return the exit code of bad input, 2."""
    print(f"error: {message}", file=sys.stderr)
    return 2


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "give this user permission to write there"
    if isinstance(error, FileNotFoundError):
        return "check the path"
    return "free some space or choose another place, then run again"
