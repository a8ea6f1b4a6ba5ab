import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from kd.errors import InputError
from kd.files import atomic_file, atomic_folder, digest, digest_json, read_json, walk_files, write_json
from tests.full_disk import files_limited_to


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for name in ("first", "second"):
        with atomic_folder(path) as temporary:
            (temporary / name).write_text(name)
    assert [p.name for p in path.iterdir()] == ["second"] and list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(RuntimeError), atomic_folder(path) as temporary:
        (temporary / "half").touch()
        raise RuntimeError
    assert [p.name for p in path.iterdir()] == ["old"] and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["file", "folder", "file in a folder"])
def test_the_error_of_a_full_disk_names_the_output(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "output"
    with pytest.raises(OSError) as error, files_limited_to(5000):
        if kind == "file":
            with atomic_file(path) as temporary:
                temporary.write_bytes(bytes(10_000))
        with atomic_folder(path) as folder:
            write_json(folder / "x.json", [0] * 9999) if kind != "folder" else (folder / "x").write_bytes(bytes(10_000))
    assert error.value.filename == str(path / "x.json" if kind == "file in a folder" else path) and list(tmp_path.iterdir()) == []


def test_equal_content_gives_equal_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "ü"})
    write_json(tmp_path / "b.json", {"a": "ü", "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json") == {"a": "ü", "b": 1}
    with pytest.raises(ValueError):
        write_json(tmp_path / "nan.json", float("nan"))


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"\xef\xbb\xbf" + '{"a": "ü"}'.encode())
    assert read_json(path) == {"a": "ü"}


INVALID = [(b'{"a": }', "line 1 column 7"), (b"\xff", "UTF-8"), (None, "missing"), (b"[" * 100_000, "not JSON"), (b"9" * 5000, "not JSON")]


@pytest.mark.parametrize(("content", "problem"), INVALID)
def test_json_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=problem):
        read_json(path)


def test_a_digest_depends_on_names_and_content_alone(tmp_path: Path) -> None:
    for folder, order in (("one", ("a/x", "b")), ("two", ("b", "a/x"))):
        for name in order:
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_text(name)
    assert digest(tmp_path / "one") == digest(tmp_path / "two") == "881f76dbcfb8da9143f7f8885a1ce1af92fd3557f0fbb1c764755992d9ce7c72"
    assert digest(tmp_path / "one" / "b") == hashlib.sha256(b"b").hexdigest()
    (tmp_path / "two" / "b").rename(tmp_path / "two" / "c")
    assert digest(tmp_path / "one") != digest(tmp_path / "two")
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1}) != digest_json({"a": 1, "b": 3})


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder with the files a, b/c and .d/e, a link to the folder b, and a link to a file outside."""
    folder = tmp_path / "linked"
    for name in ("a", "b/c", ".d/e"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (tmp_path / "outside").write_text("outside")
    (folder / "f").symlink_to(tmp_path / "outside")
    (folder / "g").symlink_to("b")
    return folder


def names(folder: Path, **options: Any) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in walk_files(folder, **options))


def test_linked_folders_are_followed(linked: Path) -> None:
    assert names(linked) == [".d/e", "a", "b/c", "f", "g/c"]
    assert names(linked, skip=lambda name: name.startswith(".")) == ["a", "b/c", "f", "g/c"]
    assert names(linked / "g", root=linked) == ["c"]
    assert names(linked / "nowhere") == []


def test_a_digest_covers_the_content_of_linked_folders(linked: Path, tmp_path: Path) -> None:
    shutil.copytree(linked, tmp_path / "copy")
    assert digest(linked) == digest(tmp_path / "copy")
    before = digest(linked)
    (linked / "b" / "c").write_text("changed")
    assert digest(linked) != before
    (tmp_path / "outside").write_text("changed")
    (linked / "b" / "c").write_text("b/c")
    assert digest(linked) != before


def test_a_linked_folder_in_the_cache_of_dvc_is_followed(linked: Path, tmp_path: Path) -> None:
    for number, cache in enumerate((".dvc/cache/ab", "shared/files/md5/ab")):
        (tmp_path / cache).mkdir(parents=True)
        (tmp_path / cache / "x").write_text("x")
        (linked / f"cached{number}").symlink_to(tmp_path / cache)
    assert {"cached0/x", "cached1/x"} <= set(names(linked))


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        (".", "h: is a link to the folder .*linked, which contains it; remove the link"),
        ("..", "h: is a link to .*, which is outside of .*linked; replace the link with a copy of the files"),
        ("nowhere", "h: is a link to nowhere, which is missing"),
        ("h", "h: is a link to h, which is missing"),
    ],
)
def test_other_links_are_rejected(linked: Path, target: str, problem: str) -> None:
    (linked / "h").symlink_to(target)
    with pytest.raises(InputError, match=problem):
        names(linked)
    (linked / "h").unlink()
    (linked / ".h").symlink_to("nowhere")  # an editor's lock
    (linked / ".i").symlink_to("..")
    assert names(linked) == [".d/e", "a", "b/c", "f", "g/c"]


def test_a_loop_of_two_links_is_rejected(linked: Path) -> None:
    (linked / "h").mkdir()
    (linked / "h" / "i").symlink_to("../b")
    (linked / "b" / "j").symlink_to("../h")
    with pytest.raises(InputError, match="which contains it"):
        digest(linked)


def test_a_name_that_is_not_utf_8_is_rejected(linked: Path) -> None:
    (linked / "b" / os.fsdecode(b"\xff.jpg")).touch()
    with pytest.raises(InputError, match=r"contains the file name '.*', which is not UTF-8; rename the file"):
        digest(linked)


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_a_target_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    taken = {atomic_file: ("", "folder", "pipe", "/dev/null"), atomic_folder: ("", "..", "file", "/dev/null")}[write]
    for path in taken:
        with pytest.raises(InputError), write(Path(path)):
            pytest.fail("the work has started")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "pipe"] and (tmp_path / "file").read_text() == "mine"
