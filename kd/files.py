"""Write files and folders atomically, read and write JSON, compute digests.

An output is written under a temporary name next to its final path and then renamed, so it is complete or absent.
"""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

from kd.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Provide a temporary path next to `path`, and rename it to `path` if the block ends without an error.

    Raises:
        InputError: before the block, if `path` is a folder or a device.
    """
    if path.exists() and not path.is_file():
        raise InputError(path, f"is a {'folder' if path.is_dir() else 'device'}, not a file", "give the name of a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_path(path)
    try:
        with _named_errors(temporary, path):
            yield temporary
            _flush(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Provide an empty temporary folder next to `path`, and replace `path` with it if the block ends without an error.

    Raises:
        InputError: before the block, if `path` is a file.
    """
    if path.exists() and not path.is_dir():
        raise InputError(path, "is a file, not a folder", "choose another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_path(path)
    temporary.mkdir()
    try:
        with _named_errors(temporary, path):
            yield temporary
            shutil.rmtree(path, ignore_errors=True)
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_writable(path: Path, option: str) -> None:
    """Check that a file or folder can be written at `path`, which need not exist, before the work that leads to it.

    Raises:
        InputError: if a file is where `path` has a folder, or this user must not write there; `option` is what gives the path.
    """
    parent = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not parent.is_dir():
        raise InputError(parent, "is a file, not a folder", f"choose another {option}")
    for existing in (existing for existing in (parent, path) if os.path.lexists(existing)):
        if not os.access(existing, os.W_OK):
            raise InputError(existing, "must not be written to by this user", f"give the permission, or choose another {option}")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as sorted, indented JSON, so that equal content gives equal bytes; NaN is an error."""
    with atomic_file(path) as temporary:
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; the `InputError` for invalid JSON names the file, line and column."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(path, "is missing", "check the path, or run the step that writes it") from None
    except UnicodeDecodeError as error:
        raise InputError(path, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8 JSON") from None
    except (ValueError, RecursionError) as error:  # also for integers of thousands of digits and lists in lists in lists
        raise InputError(path, f"is not JSON: {error}", "correct that line") from None


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's relative names and contents in sorted order, as hex."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    return combine_digests({file.relative_to(path): digest(file) for file in walk_files(path)})


def combine_digests(digests: Mapping[PurePath, str]) -> str:
    """The digest of a folder from the digests of its files by their relative paths."""
    total = hashlib.sha256()
    for path in sorted(digests):
        total.update(f"{path.as_posix()}\0{digests[path]}\n".encode())
    return total.hexdigest()


def walk_files(folder: Path, root: Path | None = None, skip: Callable[[str], bool] = lambda name: False) -> Iterator[Path]:
    """Yield the files below `folder` in any order, also those in the folders that symbolic links point to.

    Args:
        folder: where to start; nothing is yielded if it is missing.
        root: folder that the targets of links must be in, unless they are in DVC's cache; None for `folder`.
        skip: whether to leave out a file or folder with this name.

    Raises:
        InputError: if a link points outside `root`, to a folder that contains the link, or to nothing, or a name is not UTF-8.
    """
    pending: list[tuple[Path, tuple[Path, ...]]] = [(folder, (_real_folder(folder, root or folder),))] if folder.is_dir() else []
    while pending:
        current, parents = pending.pop()
        with os.scandir(current) as entries:
            for entry in entries:
                path = current / entry.name
                if skip(entry.name) or not _exists(entry, path):
                    continue
                if not entry.is_dir():
                    yield path
                elif not entry.is_symlink():
                    pending.append((path, (*parents, parents[-1] / entry.name)))
                else:
                    real = _real_folder(path, root or folder)
                    if any(parent.is_relative_to(real) for parent in parents):
                        raise InputError(path, f"is a link to the folder {real}, which contains it", "remove the link")
                    pending.append((path, (*parents, real)))


def digest_json(content: Any) -> str:
    """SHA-256 of JSON-able `content`, as hex."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _exists(entry: "os.DirEntry[str]", path: Path) -> bool:
    """Whether `entry` is a file or a folder; a hidden link counts only if it points to a file, because editors lock files with links."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        raise InputError(path.parent, f"contains the file name {entry.name!r}, which is not UTF-8", "rename the file") from None
    if not entry.is_symlink():
        return entry.is_dir() or entry.is_file()
    hidden = entry.name.startswith(".")
    if not hidden and not path.exists():
        raise InputError(path, f"is a link to {path.readlink()}, which is missing", "restore it (`dvc checkout`) or remove the link")
    return path.is_file() or (path.is_dir() and not hidden)


def _real_folder(folder: Path, root: Path) -> Path:
    """The folder without symbolic links, which is in `root` or in a cache of DVC."""
    real = folder.resolve()
    in_cache = any(pair in {("files", "md5"), (".dvc", "cache")} for pair in pairwise(real.parts))
    if not in_cache and not real.is_relative_to(root.resolve()):
        raise InputError(folder, f"is a link to {real}, which is outside of {root}", "replace the link with a copy of the files")
    return real


def _temporary_path(path: Path) -> Path:
    if path.name in ("", ".."):
        raise InputError(f"'{path}'", "names no file or folder", "give a name")
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


@contextmanager
def _named_errors(temporary: Path, path: Path) -> Iterator[None]:
    """Give the error of a full disk the name of the output: a failed write has none, and a temporary name means nothing to the user."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            error.filename = str(error.filename or path).replace(str(temporary), str(path))
        raise


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
