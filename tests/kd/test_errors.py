import errno
from pathlib import Path

import pytest

from kd.errors import InputError, clean_exit, fail

CASES = [
    (InputError("params.yaml", "has no field seed", "add it"), 2, "error: params.yaml: has no field seed; add it\n"),
    (
        PermissionError(errno.EACCES, "Permission denied", "/x"),
        2,
        "error: /x: Permission denied; give this user permission to write there\n",
    ),
    (PermissionError(errno.EACCES, "Permission denied", "/"), 2, "error: /: Permission denied; give this user permission to read it\n"),
    (IsADirectoryError(errno.EISDIR, "Is a directory", "/x"), 2, "error: /x: Is a directory; give a file, not a folder\n"),
    (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x/y"), 2, "error: /x/y: Not a directory; check the path"),
    (OSError(errno.EIO, "Input/output error", "/x"), 2, "error: /x: Input/output error; check the disk, then run again\n"),
    (OSError(errno.ENOENT, "No such file", "/a\nb\u202e"), 2, "error: /a\\nb\\u202e: No such file; check the path\n"),
    (InputError("a\nb\x1b", "c\u2028d\udc80", "e\rf"), 2, "error: a\\nb\\x1b: c\\u2028d\\udc80; e\\rf\n"),
    (FileNotFoundError(errno.ENOENT, "No such file", "/x"), 2, "error: /x: No such file; check the path\n"),
    (OSError(errno.ENOSPC, "No space left on device", "/x"), 2, "error: /x: No space left on device; free some space"),
    (KeyboardInterrupt(), 130, "stopped; run the same command again to continue\n"),
]


@pytest.mark.parametrize(("error", "code", "message"), CASES)
def test_an_error_that_the_user_can_fix_is_reported_in_one_line(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @clean_exit()
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        command()
    printed = capsys.readouterr().err
    assert end.value.code == code and printed.startswith(message) and printed.count("\n") == 1


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    @clean_exit()
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command()


def test_arguments_reach_the_command() -> None:
    seen = []

    @clean_exit()
    def command(first: int, second: int) -> None:
        seen.append((first, second))

    command(1, second=2)
    assert seen == [(1, 2)]


def test_long_names_are_shortened_and_paths_are_not() -> None:
    path = "/" + "/".join(["f" * 255] * 4)
    assert str(InputError(path, f"has '{'n' * 5000}'", "rename it")) == f"{path}: has '{'n' * 60}...'; rename it"
    message = str(InputError("x", "many words " * 1000, "shorten it"))
    assert len(message) < 2100 and message.startswith("x: many") and message.endswith("; shorten it")


def test_an_error_shows_no_control_characters_of_a_file_name(capsys: pytest.CaptureFixture[str]) -> None:
    fail("a\x1b[2J\n\u202egpj.jpg: größe 猫 is wrong")
    assert capsys.readouterr().err == "error: a\\x1b[2J\\n\\u202egpj.jpg: größe 猫 is wrong\n"


def test_the_error_line_is_the_termination_message_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setenv("KDFLOW_TERMINATION_LOG", str(log))
    assert fail("data: is empty; add pictures") == 2
    assert not log.exists(), "only Kubernetes creates the file"
    log.write_text("something longer than the message that replaces it")
    fail("data: is empty; add pictures")
    assert log.read_text() == "error: data: is empty; add pictures\n"
