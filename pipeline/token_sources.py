"""Where the token for KFP comes from, and how it is renewed while a command waits."""

import base64
import json
import os
import shlex
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kfp.client.token_credentials_base import TokenCredentialsBase
from kfp_server_api import Configuration

from components.runtime.text import one_line
from kd.errors import InputError

FILE = "/var/run/secrets/kubeflow/pipelines/token"
"""Where Kubernetes mounts the token of a pod's service account for KFP."""
MARGIN = timedelta(seconds=60)
"""A token that expires this soon is renewed."""
COMMAND_TIMEOUT = 60


class TokenSource(TokenCredentialsBase):  # type: ignore[misc]
    """A source of tokens, which is read for each request; a command only if its token expires or the server refuses it.

    Args:
        name: the source, for messages.
        read: returns a token.
        is_kept: whether a token is kept for later requests.
    """

    def __init__(self, name: str, read: Callable[[], str], is_kept: bool = False) -> None:
        self.name, self.is_kept, self._read = name, is_kept, read
        self._token = ""

    def token(self) -> str:
        """The token."""
        expiry = expiry_time(self._token)
        if not (self.is_kept and self._token) or (expiry and expiry < datetime.now(UTC) + MARGIN):
            self._token = self._read()
        return self._token

    def invalidate(self) -> None:
        """Forget the token, because the server refuses it."""
        self._token = ""

    def refresh_api_key_hook(self, config: Configuration) -> None:
        """Set the token in `config`; KFP's client calls it before each request."""
        config.api_key["authorization"] = self.token()


def find_token_source() -> TokenSource | None:
    """The first source that the environment names; None without one.

    They are, in this order: the variable KF_PIPELINES_TOKEN, the command KF_PIPELINES_TOKEN_COMMAND, which prints a token, the file
    KF_PIPELINES_SA_TOKEN_PATH, and the file `FILE`.

    Raises:
        InputError: if the file KF_PIPELINES_SA_TOKEN_PATH does not exist.
    """
    if token := os.environ.get("KF_PIPELINES_TOKEN"):
        return TokenSource("KF_PIPELINES_TOKEN", lambda: token)
    if command := os.environ.get("KF_PIPELINES_TOKEN_COMMAND"):
        return TokenSource("KF_PIPELINES_TOKEN_COMMAND", lambda: _run(command), is_kept=True)
    named = os.environ.get("KF_PIPELINES_SA_TOKEN_PATH")
    file = Path(named or FILE)
    if file.is_file():
        return TokenSource(str(file), lambda: file.read_text(encoding="utf-8").strip())
    if named:
        raise InputError(named, "is missing", "correct KF_PIPELINES_SA_TOKEN_PATH")
    return None


def expiry_time(token: str) -> datetime | None:
    """When a JSON web token expires; None for a token of another kind, or without an end."""
    try:
        payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return datetime.fromtimestamp(payload["exp"], UTC)
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _run(command: str) -> str:
    remedy = "run it in a shell, and correct KF_PIPELINES_TOKEN_COMMAND"
    try:
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=COMMAND_TIMEOUT)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise InputError("KF_PIPELINES_TOKEN_COMMAND", f"cannot be run ({one_line(error)})", remedy) from None
    if done.returncode or not done.stdout.strip():
        reason = one_line(Exception(done.stderr.strip() or f"exit code {done.returncode}, no output"))
        raise InputError("KF_PIPELINES_TOKEN_COMMAND", f"prints no token ({reason})", remedy)
    return done.stdout.strip()
