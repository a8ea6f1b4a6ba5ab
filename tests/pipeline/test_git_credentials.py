import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.pipeline.test_image import ROOT, VERSION, pictures, private_server, resolving  # noqa: F401 - a fixture


def test_only_the_host_of_the_credentials_gets_the_password(
    pictures: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """With the setting of the image's git, on this machine."""
    helper = re.search(r"credential\.helper \\\n\s+'(.+)'", (ROOT / "Dockerfile").read_text())
    assert helper
    config = tmp_path_factory.mktemp("git") / "config"
    subprocess.run(["git", "config", "--file", config, "credential.helper", helper[1]], check=True)
    with private_server(pictures) as url:
        environment = {**os.environ, "GIT_USERNAME": "robot", "GIT_PASSWORD": "pass word/1", "PYTHONPATH": str(ROOT)}
        environment |= {"GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_SYSTEM": os.devnull, "GIT_TERMINAL_PROMPT": "0"}

        def resolve(host: str) -> str:
            command = ["sh", "-c", resolving(url).replace("python", sys.executable, 1)]
            return subprocess.run(command, env=environment | {"GIT_HOST": host}, capture_output=True, text=True, timeout=120).stdout

        assert VERSION in resolve(urlsplit(url).netloc)
        for other in ("git.example.com", ""):
            assert VERSION not in resolve(other)
