"""Addresses are opened by the package whose entry point has the name of their scheme."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from kd import sources
from kd.detector import Detector
from kd.errors import InputError
from kd.sources import open_detector


def opener(source: str) -> str:
    return f"opened {source}"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One package that opens `lake:/...`."""
    point = EntryPoint("lake", "tests.kd.test_sources:opener", sources.GROUP)
    monkeypatch.setattr(sources, "entry_points", lambda group: [point] if group == sources.GROUP else [])


def test_a_path_is_a_file(model_file: Path) -> None:
    detector = open_detector(str(model_file), "cpu")
    assert isinstance(detector, Detector) and detector.classes == ("cat", "dog")


@pytest.mark.parametrize("source", ["lake:/fish@champion", "lake://host/fish/3"])
def test_an_address_is_opened_by_its_package(source: str) -> None:
    assert open_detector(source) == f"opened {source}"


def test_an_address_with_an_unknown_scheme_is_rejected() -> None:
    with pytest.raises(InputError, match=r"river:/fish: 'river:' is an unknown scheme \(known: lake:/\.\.\.\); "):
        open_detector("river:/fish")


def test_a_device_applies_to_files_only() -> None:
    with pytest.raises(InputError, match="--device: does not apply to lake:/fish"):
        open_detector("lake:/fish", "cuda")


@pytest.mark.parametrize("source", ["none.safetensors", "./models/none.safetensors", "C:/none.safetensors"])
def test_a_missing_file_is_reported(source: str) -> None:
    with pytest.raises(InputError, match=r"none\.safetensors"):
        open_detector(source)
