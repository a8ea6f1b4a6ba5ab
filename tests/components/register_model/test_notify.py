"""Notifications: the message, and that a failing or slow receiver does not delay a decision."""

import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.register_model.notify import notify

MESSAGE = {"event": "promote", "model": "m", "version": "2", "previous": "1", "why": 'it is "better"'}
POST = "import os, sys, urllib.request as u; u.urlopen(u.Request(os.environ['HOOK'], sys.stdin.buffer.read()), timeout=60)"
COMMAND = shlex.join([sys.executable, "-c", POST])


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """A local HTTP receiver; gives the messages that it received."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(20 if self.path == "/slow" else 0)
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{server.server_port}/")
    yield received
    threading.Thread(target=server.shutdown, daemon=True).start()


def test_the_command_receives_the_message(receiver: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    notify(COMMAND, MESSAGE)
    assert receiver == [MESSAGE]
    assert capsys.readouterr().err == ""


def test_an_error_of_the_receiver_is_one_line(
    receiver: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOOK", os.environ["HOOK"] + "broken")
    notify(COMMAND, MESSAGE)
    stderr = capsys.readouterr().err
    assert receiver == [MESSAGE] and "register_model.notify: ended with 1" in stderr and "500" in stderr
    assert stderr.count("\n") == 1 and stderr.endswith("nobody was notified\n")


def test_an_unreachable_receiver_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOOK", "http://127.0.0.1:1/")
    notify(COMMAND, MESSAGE)
    stderr = capsys.readouterr().err
    assert "refused" in stderr and stderr.count("\n") == 1


def test_the_error_output_is_shown_without_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    notify("echo cannot reach http://somebody:secret@example.org/ >&2; exit 3", MESSAGE)
    assert "ended with 3: cannot reach http://***@example.org/;" in capsys.readouterr().err


def test_a_slow_command_is_stopped_with_its_child_processes(
    receiver: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOOK", os.environ["HOOK"] + "slow")
    notify(f"{COMMAND}; touch {tmp_path}/afterwards", MESSAGE, timeout=3)
    assert capsys.readouterr().err == "register_model.notify: took longer than 3 seconds and was stopped; nobody was notified\n"
    assert not (tmp_path / "afterwards").exists()


def test_an_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    notify("no-such-command-here", MESSAGE)
    assert "ended with 127" in capsys.readouterr().err


def test_the_message_is_a_whole_line(tmp_path: Path) -> None:
    notify(f"cat > {tmp_path}/message", MESSAGE)
    assert (tmp_path / "message").read_text() == json.dumps(MESSAGE, sort_keys=True) + "\n"


def test_error_output_that_is_no_text_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    notify("printf '\\377' >&2; exit 3", MESSAGE)
    assert "ended with 3: \N{REPLACEMENT CHARACTER}" in capsys.readouterr().err
