"""The real image, a small pipeline, the real one with changed settings, and a KFP server with a repository to submit from."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
import requests
import yaml
from kfp import compiler, dsl

from pipeline.__main__ import main
from pipeline.cluster import SETTINGS, load_cluster
from pipeline.compile import compile_spec
from tests.pipeline.compiled import STEP, Change, Compiled
from tests.pipeline.kfp_server import serving

ROOT = Path(__file__).parents[2]
ENGINE_TIMEOUT = 20  # seconds for an answer of the engine, which may have to ask a registry
IMAGE = f"kdflow@sha256:{'0' * 64}"


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """A small pipeline, compiled: two steps, a section of params.yaml, and three other parameters."""

    @dsl.component(base_image="python")
    def prepare(data_rev: str) -> str:
        return data_rev

    @dsl.component(base_image="python")
    def train(distill: dict, seed: int, data: str):
        pass

    @dsl.pipeline(name="kdflow")
    def small(image: str, distill: dict, seed: int = 0, data_rev: str = "", train_baseline: bool = True):
        train(distill=distill, seed=seed, data=prepare(data_rev=data_rev).output)

    path = tmp_path_factory.mktemp("package") / "pipeline.yaml"
    compiler.Compiler().compile(small, str(path))
    return path


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    """A git repository with the project's parameters in its one commit."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    as_somebody = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    for command in (("init", "-q"), ("add", "."), (*as_somebody, "commit", "-qm", "all")):
        subprocess.run(("git", *command), cwd=folder, check=True)
    return SimpleNamespace(path=folder, commit=subprocess.check_output(("git", "rev-parse", "HEAD"), cwd=folder, text=True).strip()[:12])


@pytest.fixture
def kfp(monkeypatch, repository):
    """A KFP server that the environment names; the working folder is the repository."""
    with serving() as server:
        for name in ("KF_PIPELINES_TOKEN", "KF_PIPELINES_SA_TOKEN_PATH", "KF_PIPELINES_CA_BUNDLE", "KF_PIPELINES_UI_ENDPOINT"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.host)
        monkeypatch.chdir(repository.path)
        yield server


@pytest.fixture
def command(package, capsys):
    """Runs a command line of ours; what it printed, its errors and its exit code."""

    def run(*words):
        if words[0] in ("submit", "schedule"):
            words = (*words, "--package", str(package), "--image", IMAGE)
        code = 0
        try:
            main((*words, "--namespace", "kubeflow-user"))
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return SimpleNamespace(out=out, err=err, code=code)

    return run


def missing_for_image() -> str:
    """Why the image cannot be built on this machine; "" if it can. Decided before the build: a build that fails is a failure."""
    default = re.search(r"^ARG BASE_IMAGE=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert default
    base = os.environ.get("BASE_IMAGE") or default[1]
    try:
        client = docker.from_env(timeout=ENGINE_TIMEOUT)
        client.ping()
    except (docker.errors.DockerException, requests.RequestException) as error:
        return f"no Docker engine answers: {error}"
    try:
        client.images.get(base)
    except docker.errors.ImageNotFound:
        try:
            client.images.get_registry_data(base)
        except (docker.errors.DockerException, requests.RequestException) as error:
            return f"the base image {base} is neither here nor in a registry that answers, and BASE_IMAGE names no other: {error}"
    return ""


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the image of this working tree; a build with nothing new takes seconds."""
    if problem := missing_for_image():
        # CI sets the variable, so that it cannot pass without these tests
        (pytest.fail if os.environ.get("KDFLOW_REQUIRE_CONTAINERS") else pytest.skip)(problem)
    build = subprocess.run(["make", "--no-print-directory", "image"], cwd=ROOT, capture_output=True, text=True)
    assert build.returncode == 0, build.stdout + build.stderr
    return build.stdout.split()[-2]  # the last line is: name digest


@pytest.fixture
def settings(tmp_path: Path) -> Callable[[Change], Path]:
    """The committed settings with a change, as a file."""

    def changed(change: Change) -> Path:
        content = yaml.safe_load(SETTINGS.read_text())
        change(content)
        file = tmp_path / "cluster.yaml"
        file.write_text(yaml.safe_dump(content))
        return file

    return changed


@pytest.fixture
def compiled(settings: Callable[[Change], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Compiled]:
    """What comes of the committed settings with a change, or of some settings of `STEP`."""
    monkeypatch.chdir(ROOT)

    def once(change: Change = lambda content: None, **of_step: Any) -> Compiled:
        def both(content: dict[str, Any]) -> None:
            change(content)
            content["steps"][STEP] = {**content["steps"][STEP], **of_step}

        compile_spec(tmp_path / "spec.yaml", load_cluster(settings(both)))
        return Compiled((tmp_path / "spec.yaml").read_text())

    return once
