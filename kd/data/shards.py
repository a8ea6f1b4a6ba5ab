"""The pictures of a prepared split: a few tar files, and an index to read any picture of them.

The tar files `pictures-00000.tar`, ... are shards in the layout of WebDataset, and any tar program reads them. Their members are
`<image id>.<extension>`. The index `pictures.json` has the size of each shard, and for each picture its shard, offset and size, and the
SHA-256 of the file that was prepared, which is not that of the member if the picture was scaled down.
"""

import io
import json
import os
import re
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from kd.errors import InputError

INDEX = "pictures.json"
SHARD_BYTES = 256 * 2**20
"""Largest sum of the sizes of a shard's members; a picture that is larger has a shard of its own."""
PREPARE_AGAIN = "run prepare_data again"
SHARD_NAME = re.compile(r"pictures-\d{5,}\.tar")


class PreparedPicture(NamedTuple):
    """A picture to store.

    Attributes:
        image_id: its id in annotations.json.
        extension: of its format, such as ".jpg".
        content: the encoded picture.
        sha256: of the file that was prepared.
    """

    image_id: int
    extension: str
    content: bytes
    sha256: str


class PictureStream(io.BytesIO):
    """An encoded picture as an open file; its `name` says where it is stored."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def write_shards(folder: Path, pictures: Iterable[PreparedPicture], shard_bytes: int = SHARD_BYTES) -> None:
    """Write pictures and their index to `folder`; equal pictures give equal bytes. Memory does not grow with their number."""
    sizes: dict[str, int] = {}
    with (folder / INDEX).open("w", encoding="utf-8") as index:
        separator = '{\n"pictures": [\n'
        for number, members in groupby(_numbered(pictures, shard_bytes), itemgetter(0)):
            shard = f"pictures-{number:05}.tar"
            with tarfile.open(folder / shard, "w", format=tarfile.USTAR_FORMAT) as tar:
                for _, picture in members:
                    row = {"shard": shard, **_append(tar, picture), "sha256": picture.sha256}
                    index.write(separator + json.dumps(row))
                    separator = ",\n"
            sizes[shard] = (folder / shard).stat().st_size
        index.write(f'{"" if sizes else separator}\n],\n"shards": {json.dumps(sizes)}\n}}\n')


def _numbered(pictures: Iterable[PreparedPicture], shard_bytes: int) -> Iterator[tuple[int, PreparedPicture]]:
    """The pictures, each with the number of its shard."""
    number = filled = 0
    for picture in pictures:
        if filled and filled + len(picture.content) > shard_bytes:
            number, filled = number + 1, 0
        filled += len(picture.content)
        yield number, picture


def _append(tar: tarfile.TarFile, picture: PreparedPicture) -> dict[str, Any]:
    """Append a member, and return its name, offset and size."""
    member = tarfile.TarInfo(f"{picture.image_id}{picture.extension}")  # its modification time and owner are 0
    member.size, member.mode = len(picture.content), 0o644
    offset = tar.offset + tarfile.BLOCKSIZE  # USTAR's header of a short name is one block
    tar.addfile(member, io.BytesIO(picture.content))
    return {"member": member.name, "offset": offset, "size": member.size}


class PictureShards:
    """Reads what `write_shards` wrote, in the order of `ids`; a process opens each shard once, when it reads from it.

    Args:
        folder: the split's folder.
        ids: image ids.

    Raises:
        InputError: if an older release prepared the data, the index or a shard is missing or damaged, or a picture is missing.
    """

    def __init__(self, folder: Path, ids: Sequence[int]) -> None:
        self._descriptors: dict[str, int] = {}
        self.folder = folder
        rows = _read_index(folder)
        try:
            own = [rows[image_id] for image_id in ids]
        except KeyError as missing:
            raise InputError(folder / INDEX, f"lacks the picture {missing} of annotations.json", PREPARE_AGAIN) from None
        self._members, self._shards = [row["member"] for row in own], [sys.intern(row["shard"]) for row in own]
        self._places = np.array([(row["offset"], row["size"]) for row in own], dtype=np.int64).reshape(-1, 2)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_descriptors": {}}  # another process opens its own

    def __del__(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)

    def open(self, index: int) -> PictureStream:
        """The content of picture `index`.

        Raises:
            InputError: if its shard cannot be read.
        """
        shard, (offset, size) = self._shards[index], self._places[index].tolist()
        file = self.folder / shard
        try:
            if shard not in self._descriptors:
                self._descriptors[shard] = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            content = os.pread(self._descriptors[shard], size, offset)
        except OSError as error:
            remedy = f"give this user permission to read it, or {PREPARE_AGAIN}"
            raise InputError(file, f"cannot be read ({error.strerror})", remedy) from None
        if len(content) < size:
            raise InputError(file, f"ends before its member {self._members[index]}", PREPARE_AGAIN)
        return PictureStream(content, f"{file}, {self._members[index]}")


def original_digests(folder: Path) -> dict[int, str]:
    """SHA-256 of the file that each picture of a split was prepared from, by image id.

    Raises:
        InputError: as `PictureShards`.
    """
    return {image_id: row["sha256"] for image_id, row in _read_index(folder).items()}


def _read_index(folder: Path) -> dict[int, dict[str, Any]]:
    """The rows of the index by image id, after it was compared with the files."""
    file = folder / INDEX
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        shards = dict(content["shards"])
        rows = {int(PurePath(row["member"]).stem): row for row in content["pictures"]}
        for row in rows.values():
            _check_row(row, shards)
    except FileNotFoundError:
        old = (folder / "images").is_dir()
        problem = "is missing: an older version of kdflow prepared these data" if old else "is missing"
        raise InputError(file, problem, PREPARE_AGAIN) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(file, f"is damaged ({type(error).__name__}: {error})", PREPARE_AGAIN) from None
    for shard, size in shards.items():
        _check_shard(folder / shard, size)
    return rows


def _check_row(row: dict[str, Any], sizes: dict[str, int]) -> None:
    """Raise `ValueError` if a row of the index does not lie in its shard."""
    shard, offset, size, sha256 = row["shard"], row["offset"], row["size"], row["sha256"]
    if not (SHARD_NAME.fullmatch(shard) and type(offset) is type(size) is int and isinstance(sha256, str)):
        raise ValueError(f"the row of {row['member']} is not valid")
    if not 0 < offset <= offset + size <= sizes[shard]:
        raise ValueError(f"{row['member']} is outside of {shard}")


def _check_shard(file: Path, size: int) -> None:
    if not file.is_file():
        raise InputError(file, "is missing", PREPARE_AGAIN)
    if (actual := file.stat().st_size) != size:
        raise InputError(file, f"has {actual} bytes, not {size} as in {INDEX}", PREPARE_AGAIN)
