"""What all tests share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.projects import dvc, small_project

LONG = ("container", "slow")
"""Marks from the longest on."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long tests first, so that no process ends with one while the others have nothing left to do."""
    items.sort(key=lambda item: next((place for place, mark in enumerate(LONG) if item.get_closest_marker(mark)), len(LONG)))


@pytest.fixture(autouse=True)
def environment_of_one_test() -> Iterator[None]:
    """Commands set variables for their own process, such as the number of threads and the time limits of requests."""
    before, umask = dict(os.environ), os.umask(0o022)
    os.umask(umask)
    yield
    os.environ.clear()
    os.environ.update(before)
    os.umask(umask)


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project with the pipeline, after `dvc repro`: one for all processes of these tests, so it has to be left as it is."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "reproduced"
    done = folder / "done"
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            small_project(folder)
            dvc(folder, "repro", "-q", seconds=800)
            done.touch()
    return folder
