"""Registered models that were trained on test pictures."""

import hashlib
from pathlib import Path

import pytest

from components.params.models import Params
from components.register_model.promotion import Promotion
from components.register_model.registry import MODEL, Registry
from kd.model.store import save_model
from tests.components.random_networks import random_network
from tests.components.register_model.conftest import TAGS, failed_rules
from tests.components.stub_models import create_run, write_model
from tests.packed import packed

pytestmark = pytest.mark.usefixtures("folder")
LEAKED = ["0.png", "17.png"]


def register(params: Params, share: float, trained_on: list[str]) -> tuple[set[str], list[str]]:
    """Register a model that was trained on some of the test pictures; return the failed rules and the reasons."""
    prepared = {name: hashlib.sha256(content).hexdigest() for name, content in packed(Path("data/test")).items()}
    pictures = ["f" * 16, *(prepared[name][:16] for name in trained_on)]
    save_model(Path("model.safetensors"), *random_network(), pictures=pictures)
    file = write_model(Path("student.onnx"), (share, share))
    promotion = Promotion(Registry("m"))
    result, _ = promotion.register_challenger(file, create_run(), TAGS, params, Path("data"), {MODEL: Path("model.safetensors")})
    return failed_rules(result), result.reasons


def test_a_model_that_was_trained_on_test_pictures_is_rejected(params: Params) -> None:
    rules, reasons = register(params, 0.4, LEAKED)
    assert rules == {"leakage"}
    assert reasons == ["the challenger was trained on 2 of the test pictures (0.png, 17.png)"]
    assert register(params, 0.5, []) == (set(), ["there is no champion yet, and every minimum is reached"])
    assert register(params, 0.8, LEAKED)[0] == {"leakage"}, "although it is better"
    assert register(params, 0.9, [])[0] == set()


def test_a_champion_that_was_trained_on_test_pictures_is_no_reference(params: Params) -> None:
    register(params, 0.5, [])
    register(params, 0.6, LEAKED)
    Promotion(Registry("m")).force("2", "a test")
    assert register(params, 0.9, []) == ({"leakage"}, ["the champion was trained on 2 of the test pictures (0.png, 17.png)"])
