"""The real image, for tests that run it."""

import subprocess
from pathlib import Path

import docker
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the image of this working tree; a build with nothing new takes seconds."""
    try:
        docker.from_env().ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    build = subprocess.run(["make", "--no-print-directory", "image"], cwd=ROOT, capture_output=True, text=True)
    assert build.returncode == 0, build.stdout + build.stderr
    return build.stdout.split()[-2]  # the last line is: name digest
