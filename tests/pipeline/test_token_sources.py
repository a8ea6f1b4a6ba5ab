"""Tokens of a server that lets them expire."""

import base64
import json
import sys
import time

import pytest

from kd.errors import InputError
from pipeline import submit
from pipeline.client import connect
from pipeline.token_sources import expiry_time, find_token_source
from tests.pipeline.kfp_server import Refusal
from tests.pipeline.runs import GOOD

USER = "kubeflow-user"


@pytest.fixture(autouse=True)
def no_sources(monkeypatch):
    monkeypatch.setattr(submit, "PAUSE", 0)
    for name in ("TOKEN", "TOKEN_COMMAND", "SA_TOKEN_PATH", "COOKIES"):
        monkeypatch.delenv(f"KF_PIPELINES_{name}", raising=False)


@pytest.fixture
def counting(tmp_path, monkeypatch):
    """A command that prints token-1, token-2, ..."""
    script = tmp_path / "print_token.py"
    script.write_text(
        f"import pathlib\ncount = pathlib.Path({str(tmp_path / 'count')!r})\n"
        "n = int(count.read_text()) + 1 if count.exists() else 1\ncount.write_text(str(n))\nprint(f'token-{n}')\n"
    )
    monkeypatch.setenv("KF_PIPELINES_TOKEN_COMMAND", f"{sys.executable} {script}")


def web_token(seconds):
    """A JSON web token that expires in so many seconds, without a signature."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, {"exp": time.time() + seconds})]
    return ".".join([*parts, "signature"])


def expire_after(kfp, uses):
    """Let the server refuse each token after so many requests."""
    used, answer = {}, kfp.answer

    def refusing(method, target, body):
        token = kfp.headers[-1].get("authorization", "nobody")
        used[token] = used.get(token, 0) + 1
        if used[token] > uses or not token.startswith("Bearer token-"):
            raise Refusal(401, f"the token {token} has expired")
        return answer(method, target, body)

    kfp.answer = refusing
    return used


def test_a_command_gives_new_tokens_while_a_run_is_followed(kfp, command, counting):
    kfp.progress = [*GOOD[:2], *[GOOD[2]] * 20, *GOOD[3:]]
    used = expire_after(kfp, 3)
    done = command("submit", "--wait")
    assert done.code == 0 and done.out.endswith("run succeeded\n"), done.err
    assert len(used) > 5 and max(used.values()) == 4, "each token was used until it was refused, and then replaced"


def test_a_file_is_read_again_while_a_run_is_followed(kfp, command, monkeypatch, tmp_path):
    file = tmp_path / "token"
    file.write_text("token-0")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(file))
    kfp.progress = [*GOOD[:2], *[GOOD[2]] * 20, *GOOD[3:]]
    used = expire_after(kfp, 3)
    kfp.fault = lambda number, request: file.write_text(f"token-{number // 2}") and None
    done = command("submit", "--wait")
    assert done.code == 0 and len(used) > 5, done.err


def test_a_token_that_expires_soon_is_replaced_before_it_is_refused(monkeypatch):
    monkeypatch.setenv("KF_PIPELINES_TOKEN_COMMAND", f"echo {web_token(30)}")
    source = find_token_source()
    assert source.token() and expiry_time(source.token()).timestamp() > time.time()
    monkeypatch.setattr(source, "_read", lambda: "next")
    assert source.token() == "next" and expiry_time("next") is None
    monkeypatch.setattr(source, "_read", lambda: pytest.fail("read again without a reason"))
    assert source.token() == "next"


def test_a_token_from_the_environment_cannot_be_renewed_and_the_error_says_what_can(kfp, command, monkeypatch):
    monkeypatch.setenv("KF_PIPELINES_TOKEN", "token-old")
    expire_after(kfp, 12)
    kfp.progress = [GOOD[2]] * 99
    done = command("submit", "--wait")
    assert done.code == 2 and "the token Bearer *** has expired" in done.err and "KF_PIPELINES_TOKEN_COMMAND" in done.err
    assert "the run goes on" in done.err


def test_a_login_page_asks_for_a_new_token(kfp, counting):
    answer = kfp.answer

    def redirect(method, target, body):
        if kfp.headers[-1]["authorization"] != "Bearer token-2":
            raise Refusal(302, "log in")
        return answer(method, target, body)

    kfp.answer = redirect
    assert connect(None, USER).list_runs().runs == []


def test_cookies_of_a_login_page(kfp, monkeypatch):
    monkeypatch.setenv("KF_PIPELINES_COOKIES", "oauth2_proxy_kubeflow=abc")
    connect(None, USER)
    assert kfp.headers[-1]["Cookie"] == "oauth2_proxy_kubeflow=abc"


@pytest.mark.parametrize(
    "line, told", [("false", "exit code 1"), ("true", "no output"), ("/no/such/file", "cannot be run"), ("'", "cannot")]
)
def test_a_command_that_prints_no_token(kfp, monkeypatch, line, told):
    monkeypatch.setenv("KF_PIPELINES_TOKEN_COMMAND", line)
    with pytest.raises(InputError, match=f"KF_PIPELINES_TOKEN_COMMAND: .*{told}"):
        connect(None, USER)


def test_a_missing_file_is_told(kfp, monkeypatch):
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", "/no/token")
    with pytest.raises(InputError, match="/no/token: is missing; correct KF_PIPELINES_SA_TOKEN_PATH"):
        connect(None, USER)
