"""Shards: what is written is read, by this reader and by any tar program, and what is damaged is one error."""

import json
import multiprocessing
import pickle
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kd.data.shards import INDEX, PictureShards, PreparedPicture, original_digests, write_shards
from kd.errors import InputError

CONTENTS = {7: b"a" * 700, 3: b"b" * 512, 12: b"", 5: b"c" * 1500, 1: b"d"}
FIRST = "pictures-00000.tar"


def pictures() -> list[PreparedPicture]:
    return [PreparedPicture(image_id, ".jpg", content, f"{image_id:064}") for image_id, content in CONTENTS.items()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards of at most 1,300 bytes of members, but for the picture that is larger."""
    (tmp_path / "split").mkdir()
    write_shards(tmp_path / "split", pictures(), 1300)
    return tmp_path / "split"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def edit(folder: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads((folder / INDEX).read_text())
    change(content)
    (folder / INDEX).write_text(json.dumps(content))


def test_pictures_are_read_in_the_order_that_is_asked_for(folder: Path) -> None:
    for ids in (list(CONTENTS), [5, 7], []):
        shards = PictureShards(folder, ids)
        assert [shards.open(index).read() for index in range(len(ids))] == [CONTENTS[image_id] for image_id in ids]
    assert original_digests(folder) == {image_id: f"{image_id:064}" for image_id in CONTENTS}


def test_a_shard_has_at_most_the_given_bytes_of_members(folder: Path) -> None:
    names = sorted(file.name for file in folder.glob("*.tar"))
    members = []
    for name in names:
        with tarfile.open(folder / name) as tar:
            members.append([member.name for member in tar.getmembers()])
    assert names == [FIRST, "pictures-00001.tar", "pictures-00002.tar"]
    assert members == [["7.jpg", "3.jpg", "12.jpg"], ["5.jpg"], ["1.jpg"]]


def test_members_are_plain_files_without_an_owner_or_a_time(folder: Path) -> None:
    with tarfile.open(folder / FIRST) as tar:
        for member in tar.getmembers():
            assert member.isreg() and (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
            assert (member.uname, member.gname, member.pax_headers) == ("", "", {})
        assert tar.extractfile("7.jpg").read() == CONTENTS[7]  # type: ignore[union-attr]


def test_the_tar_program_reads_shards(folder: Path, tmp_path: Path) -> None:
    for file in folder.glob("*.tar"):
        subprocess.run(["tar", "-xf", str(file), "-C", str(tmp_path)], check=True)
    assert {int(file.stem): file.read_bytes() for file in tmp_path.glob("*.jpg")} == CONTENTS


def test_equal_pictures_are_equal_bytes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    write_shards(tmp_path / "again", iter(pictures()), 1300)
    assert contents(tmp_path / "again") == contents(folder)


def test_a_split_may_have_no_pictures(tmp_path: Path) -> None:
    write_shards(tmp_path, [])
    assert [file.name for file in tmp_path.iterdir()] == [INDEX]
    assert original_digests(tmp_path) == {}
    PictureShards(tmp_path, [])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_what_was_opened_here(folder: Path, method: str) -> None:
    """With shards that are open already: a position that processes share would mix up their reads."""
    shards = PictureShards(folder, list(CONTENTS))
    expected = [shards.open(index).read() for index in range(len(CONTENTS))]
    with multiprocessing.get_context(method).Pool(3) as pool:
        for order in (range(5), range(4, -1, -1)) * 10:
            assert pool.map(shards_read, [(shards, index) for index in order]) == [expected[index] for index in order]
    assert [pickle.loads(pickle.dumps(shards)).open(index).read() for index in range(5)] == expected


def shards_read(task: tuple[PictureShards, int]) -> bytes:
    shards, index = task
    return shards.open(index).read()


def test_each_shard_is_opened_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = PictureShards(folder, list(CONTENTS))
    assert [shards.open(index).read() for index in range(5)] == list(CONTENTS.values())
    for file in folder.glob("*.tar"):
        file.unlink()
    assert [shards.open(index).read() for index in range(5)] == list(CONTENTS.values())
    with pytest.raises(InputError, match=r"pictures-00000\.tar: cannot be read \(No such file"):
        pickle.loads(pickle.dumps(shards)).open(0)


def test_the_name_of_a_picture_says_where_it_is(folder: Path) -> None:
    assert PictureShards(folder, [3]).open(0).name == f"{folder}/pictures-00000.tar, 3.jpg"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / INDEX).unlink(), r"pictures\.json: is missing; run prepare_data again"),
        (lambda folder: (folder / FIRST).unlink(), r"pictures-00000\.tar: is missing; run prepare_data again"),
        (lambda folder: (folder / FIRST).write_bytes(b"cut"), r"pictures-00000\.tar: has 3 bytes, not 10240 as in pictures\.json; run"),
        (
            lambda folder: (folder / INDEX).write_bytes(b"\xff"),
            r"pictures\.json: is damaged \(UnicodeDecodeError.*\); run",
        ),
        (lambda folder: (folder / INDEX).write_text((folder / INDEX).read_text()[:300]), r"pictures\.json: is damaged"),
        (lambda folder: (folder / INDEX).write_text("[" * 100_000), r"pictures\.json: is damaged"),
        (lambda folder: (folder / INDEX).write_text("[]"), r"pictures\.json: is damaged"),
    ],
)
def test_files_that_are_missing_or_damaged_are_named(folder: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(folder)
    for read in (original_digests, lambda folder: PictureShards(folder, [7])):
        with pytest.raises(InputError, match=message):
            read(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"offset": 10_000_000}, {"offset": -1}, {"offset": "512"}, {"offset": 1.5}, {"offset": None}, {"size": 10**6}, {"size": -1},
        {"size": 10**400}, {"size": True}, {"shard": "../../etc/passwd"}, {"shard": "pictures-00009.tar"}, {"shard": 3}, {"sha256": 3},
        {"member": "x.jpg"}, {"member": None},
    ],
)  # fmt: skip
def test_an_index_that_points_elsewhere_is_refused(folder: Path, change: dict[str, Any]) -> None:
    edit(folder, lambda content: content["pictures"][0].update(change))
    with pytest.raises(InputError, match=r"pictures\.json: is damaged \(.*\); run prepare_data again"):
        PictureShards(folder, [3])


def test_a_picture_that_is_not_in_the_index_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"pictures\.json: lacks the picture 4 of annotations\.json; run prepare_data again"):
        PictureShards(folder, [3, 4])


def test_a_shard_that_is_cut_later_is_one_error(folder: Path) -> None:
    shards = PictureShards(folder, [3])
    (folder / FIRST).write_bytes(b"")
    with pytest.raises(InputError, match=r"pictures-00000\.tar: ends before its member 3\.jpg; run prepare_data again"):
        shards.open(0)


def test_the_folder_of_an_older_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(
        InputError, match=r"pictures\.json: is missing: an older version of kdflow prepared these data; run prepare_data again"
    ):
        PictureShards(tmp_path, [])


def test_memory_does_not_grow_with_the_pictures(tmp_path: Path) -> None:
    """2,000 pictures of 10 KB, in shards of 1 MB."""
    stream = (PreparedPicture(image_id, ".png", bytes([image_id % 256]) * 10_000, "") for image_id in range(2000))
    tracemalloc.start()
    try:
        write_shards(tmp_path, stream, 1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(list(tmp_path.glob("*.tar"))) == 20 and peak < 1_500_000
