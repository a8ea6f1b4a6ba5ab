"""Errors that the user can fix, and how a command reports them."""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(Exception):
    """An error in the user's files or settings.

    Args:
        where: the file or the parameter.
        problem: what is wrong, with the field.
        remedy: how to fix it.
    """

    def __init__(self, where: str | Path, problem: str, remedy: str) -> None:
        super().__init__(where, problem, remedy)

    def __str__(self) -> str:
        return "{}: {}; {}".format(*self.args)


def handle_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command report an `InputError`, or an error of the file system, in one line, with exit code 2."""

    @functools.wraps(command)
    def guarded(*args: object, **kwargs: object) -> None:
        with clean_exit():
            command(*args, **kwargs)

    return guarded


@contextmanager
def clean_exit() -> Iterator[None]:
    """`handle_errors` for a block, or as `@clean_exit()` for a function that returns a value."""
    try:
        yield
    except InputError as error:
        sys.exit(fail(str(error)))
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone
        sys.exit(141)
    except OSError as error:
        sys.exit(fail(f"{error.filename or 'file system'}: {error.strerror or error}; {_remedy(error)}"))
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue", file=sys.stderr)
        sys.exit(130)


def fail(message: str) -> int:
    """Print `message` as an error line and return the exit code for bad input, 2."""
    print(f"error: {message}", file=sys.stderr)
    return 2


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "give this user permission to write there"
    if isinstance(error, FileNotFoundError):
        return "check the path"
    return "free some space or choose another folder, then run again"
