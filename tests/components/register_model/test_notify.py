"""Notifications: what a receiver gets, and that no receiver holds a decision up."""

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

from components.register_model.notify import tell

MESSAGE = {"event": "promote", "model": "m", "version": "2", "previous": "1", "why": 'it is "better"'}
POST = "import os, sys, urllib.request as u; u.urlopen(u.Request(os.environ['HOOK'], sys.stdin.buffer.read()), timeout=60)"
COMMAND = shlex.join([sys.executable, "-c", POST])


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """A local HTTP receiver; what it got."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(20 if self.path == "/slow" else 0)
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    running = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{running.server_port}/")
    yield got
    threading.Thread(target=running.shutdown, daemon=True).start()


def test_a_receiver_gets_the_decision(receiver: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    tell(COMMAND, MESSAGE)
    assert receiver == [MESSAGE]
    assert capsys.readouterr().err == ""


def test_a_receiver_that_refuses_is_one_line(
    receiver: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOOK", os.environ["HOOK"] + "broken")
    tell(COMMAND, MESSAGE)
    said = capsys.readouterr().err
    assert receiver == [MESSAGE] and "register_model.notify: ended with 1" in said and "500" in said
    assert said.count("\n") == 1 and said.endswith("the decision stands\n")


def test_a_dead_receiver_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOOK", "http://127.0.0.1:1/")
    tell(COMMAND, MESSAGE)
    said = capsys.readouterr().err
    assert "refused" in said and said.count("\n") == 1


def test_what_a_command_says_is_shown_without_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    tell("echo cannot reach http://somebody:secret@example.org/ >&2; exit 3", MESSAGE)
    assert "ended with 3: cannot reach http://***@example.org/;" in capsys.readouterr().err


def test_a_slow_receiver_is_left_with_all_that_was_started(
    receiver: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOOK", os.environ["HOOK"] + "slow")
    tell(f"{COMMAND}; touch {tmp_path}/afterwards", MESSAGE, seconds=3)
    assert capsys.readouterr().err == "register_model.notify: took longer than 3 seconds and was stopped; the decision stands\n"
    assert not (tmp_path / "afterwards").exists()


def test_a_command_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell("no-such-command-here", MESSAGE)
    assert "ended with 127" in capsys.readouterr().err
