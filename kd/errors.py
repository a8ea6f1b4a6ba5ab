"""Errors that the user can fix, and how a command reports them."""

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, marks that change the direction of text, and surrogates."""
LONG_NAME = re.compile(r"[^\s/'\";,()]{300,}")
"""Longer than any file name, so that paths are not shortened."""
MAX_LENGTH = 2000
"""Characters of a message."""
REMEDIES = {
    errno.ENOENT: "check the path",
    errno.EISDIR: "give a file, not a folder",
    errno.ENOTDIR: "check the path: a file is where it has a folder",
    errno.EEXIST: "check the path: a file is where it has a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EROFS: "choose another folder",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space or choose another folder, then run again"),
}
TERMINATION_LOG = "/dev/termination-log"
"""Kubernetes shows what a container writes to this file as the cause of its end."""


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
        return printable("{}: {}; {}".format(*self.args))


def printable(text: str) -> str:
    """`text` in one line for a terminal: escapes instead of `UNPRINTABLE` characters, and without the rest of long names."""
    text = UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
    text = LONG_NAME.sub(lambda match: f"{match[0][:60]}...", text)
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH // 2]} ... {text[-MAX_LENGTH // 2 :]}"


@contextmanager
def clean_exit() -> Iterator[None]:
    """Report an `InputError`, or an error of the file system, in one line, with exit code 2; a context manager and a decorator."""
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
    line = f"error: {printable(message)}"
    print(line, file=sys.stderr)
    write_termination_message(line)
    return 2


def write_termination_message(message: str) -> None:
    """Write to the file `KDFLOW_TERMINATION_LOG`, by default `TERMINATION_LOG`, if it exists and is writable."""
    with suppress(OSError), Path(os.environ.get("KDFLOW_TERMINATION_LOG", TERMINATION_LOG)).open("r+", encoding="utf-8") as file:
        file.write(f"{message}\n")
        file.truncate()


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"give this user permission to {'read it' if _is_input(error) else 'write there'}"
    return REMEDIES.get(error.errno or 0, "check the disk, then run again")


def _is_input(error: OSError) -> bool:
    """Whether reading failed: files are written under new names, so a file that exists, or a folder that cannot be searched, was read."""
    name = str(error.filename or "")
    return bool(name) and not error.filename2 and (os.access(name, os.F_OK) or not os.access(Path(name).parent, os.X_OK))
