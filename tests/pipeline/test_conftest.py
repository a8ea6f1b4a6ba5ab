"""The container tests skip where the image cannot be built, and fail there in CI."""

import subprocess
from types import SimpleNamespace

import docker
import pytest
import requests

from tests.pipeline import conftest


class Engine:
    """An engine with these images here, and these in the registry."""

    def __init__(self, here=(), registry=()):
        self.here, self.registry, self.asked = here, registry, []
        self.images = SimpleNamespace(get=self.get, get_registry_data=self.get_registry_data)

    def ping(self):
        return True

    def get(self, name):
        self.asked.append(name)
        if name not in self.here:
            raise docker.errors.ImageNotFound("no such image")

    def get_registry_data(self, name):
        if name not in self.registry:
            raise docker.errors.APIError("dial tcp: no route to host")


@pytest.mark.parametrize(("base", "asked"), [(None, "python:3.11.13-slim-bookworm"), ("mine:1", "mine:1")])
@pytest.mark.parametrize("place", ["here", "registry"])
def test_the_base_image_is_looked_for_here_and_in_the_registry(monkeypatch, base, asked, place):
    monkeypatch.delenv("BASE_IMAGE", raising=False)
    if base:
        monkeypatch.setenv("BASE_IMAGE", base)
    engine = Engine(**{place: (asked,)})
    monkeypatch.setattr(docker, "from_env", lambda timeout: engine)
    assert conftest.missing_for_image() == "" and engine.asked == [asked]
    monkeypatch.setattr(docker, "from_env", lambda timeout: Engine())
    assert f"the base image {asked} is neither here nor in a registry" in conftest.missing_for_image()


def test_without_an_engine(monkeypatch):
    def no_engine(timeout):
        raise docker.errors.DockerException("connection refused")

    monkeypatch.setattr(docker, "from_env", no_engine)
    assert conftest.missing_for_image() == "no Docker engine answers: connection refused"


@pytest.mark.parametrize(
    ("method", "reason"), [("ping", "no Docker engine answers: timed out"), ("get_registry_data", "is neither here nor in a registry")]
)
def test_a_timeout_is_a_reason(monkeypatch, method, reason):
    def time_out(*arguments):
        raise requests.ReadTimeout("timed out")

    engine = Engine()
    monkeypatch.setattr(engine if method == "ping" else engine.images, method, time_out)
    monkeypatch.setattr(docker, "from_env", lambda timeout: engine)
    assert reason in conftest.missing_for_image()


def test_a_build_that_fails_is_a_failure(monkeypatch):
    monkeypatch.setattr(conftest, "missing_for_image", lambda: "")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: SimpleNamespace(returncode=2, stdout="", stderr="no space"))
    with pytest.raises(AssertionError, match="no space"):
        conftest.image.__wrapped__()


@pytest.mark.parametrize(("variable", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_skip_is_a_failure_in_ci(monkeypatch, variable, outcome):
    monkeypatch.setenv("KDFLOW_REQUIRE_CONTAINERS", variable)
    monkeypatch.setattr(conftest, "missing_for_image", lambda: "no engine")
    with pytest.raises(outcome, match="no engine"):
        conftest.image.__wrapped__()
