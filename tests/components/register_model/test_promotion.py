"""Promotions and rollbacks."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.params.models import Params
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from components.runtime.store import tracking_uri
from kd.errors import InputError
from tests.components.register_model.conftest import TAGS, aliases, failed_rules, register_challenger, snapshot
from tests.components.stub_models import create_run, write_model
from tests.packed import replace_picture

pytestmark = pytest.mark.usefixtures("folder")


def test_only_better_challengers_become_champion(params: Params) -> None:
    first = register_challenger(params, (0.5, 0.5))
    assert first.passed and aliases() == {"challenger": "1", "champion": "1"}
    assert first.inputs.challenger.map50 == pytest.approx(0.5, abs=0.01) and first.inputs.challenger.map == first.inputs.challenger.map50

    equal = register_challenger(params, (0.5, 0.5), score=0.8)
    assert failed_rules(equal) == {"certainty"}, "an equal model is not better"
    worse = register_challenger(params, (0.4, 0.3))
    assert failed_rules(worse) == {"gain", "certainty", "class_drop"}
    collapse = register_challenger(params, (1.0, 0.3))
    assert failed_rules(collapse) == {"class_drop"} and collapse.inputs.challenger.map > first.inputs.challenger.map
    large = register_challenger(params, (0.9, 0.9), extra_weights=10_000)
    assert failed_rules(large) == {"size"}
    nan = register_challenger(params, (0.9, float("nan")))
    assert "finite" in failed_rules(nan)
    assert aliases() == {"challenger": "6", "champion": "1"}, "a rejected version stays registered and changes nothing else"

    better = register_challenger(params, (0.8, 0.7))
    assert better.passed and aliases() == {"challenger": "7", "champion": "7"}
    registry = Registry("m")
    assert [version.tags["kdflow.gate"] for version in registry.versions()] == ["promote", *["reject"] * 5, "promote"]
    entries = Promotion(registry).journal.entries()
    assert [(e.action, e.previous, e.version) for e in entries if e.action != "register"] == [("promote", "", "1"), ("promote", "1", "7")]


def test_related_pictures_count_once(params: Params) -> None:
    register_challenger(params, (0.5, 0.5))
    gate = params.register_model.gate.model_copy(update={"group_pattern": r"(\d)\.png"})
    grouped = params.model_copy(update={"register_model": params.register_model.model_copy(update={"gate": gate})})
    result = register_challenger(grouped, (0.8, 0.8))
    assert failed_rules(result) == {"sample"} and "10 groups of test pictures are fewer than 40" in result.reasons[0]
    gate = gate.model_copy(update={"group_pattern": "(video)"})
    grouped = params.model_copy(update={"register_model": params.register_model.model_copy(update={"gate": gate})})
    with pytest.raises(InputError, match=r"0\.png: does not match '\(video\)' \(register_model.gate.group_pattern\)"):
        register_challenger(grouped, (0.9, 0.9))


def test_a_damaged_test_picture_is_named(params: Params) -> None:
    replace_picture(Path("data/test"), "17.png", b"nothing")
    message = r"data/test/pictures-00000\.tar, 18\.png \(17\.png\) cannot be decoded: it is not a picture .*; run prepare_data again"
    with pytest.raises(InputError, match=message):
        register_challenger(params, (0.5, 0.5))


def test_other_classes_are_compared_by_name(params: Params) -> None:
    register_challenger(params, (0.5, 0.5))
    swapped = register_challenger(params, (0.9, 0.9), classes=("dog", "cat"))
    assert {"classes", "floor_map", "gain", "class_drop"} < failed_rules(swapped), "its cats are in the positions of dogs"
    more = register_challenger(params, (0.9, 0.9, 0.1), classes=("cat", "dog", "bird"))
    assert failed_rules(more) == {"classes"}
    assert "(+bird)" in more.reasons[0] and set(more.inputs.challenger.per_class) == {"cat", "dog"}


def test_the_gate_result_is_saved_with_the_version(params: Params) -> None:
    register_challenger(params, (0.5, 0.5))
    register_challenger(params, (0.8, 0.7))
    [_, version] = Registry("m").versions()
    assert version.tags["kdflow.previous_champion"] == "1" and version.tags["kdflow.gate_data_digest"] == "0123abcd"
    assert "certainty" in version.tags["kdflow.gate_rules"] and "mAP changes by +24.3 points" in version.tags["kdflow.gate_reasons"]
    client = MlflowClient(tracking_uri())
    text = client.get_model_version("m", "2").description
    assert "| mAP | 74.8 | 50.5 | +24.3 |" in text and f"get-artifact?path=gate%2Ffound.jpg&run_uuid={version.run_id}" in text
    assert [item.path for item in client.list_artifacts(version.run_id, "gate")] == ["gate/found.jpg"]


def test_registering_the_same_content_again_gives_the_same_decision_and_moves_nothing(params: Params) -> None:
    register_challenger(params, (0.5, 0.5))
    results = [register_challenger(params, (0.8, 0.7)) for _ in range(2)]
    assert results[0].rule_results == results[1].rule_results and results[1].reference_version == "1"
    assert len(Promotion(Registry("m")).journal.entries()) == 4
    again = register_challenger(params, (0.5, 0.5))
    assert (again.version, again.reference_version, again.passed) == ("1", "2", False)
    assert aliases() == {"challenger": "1", "champion": "2"}


def test_two_rollbacks_and_a_forced_promotion(params: Params) -> None:
    for shares in ((0.3, 0.3), (0.6, 0.6), (0.9, 0.9)):
        register_challenger(params, shares)
    promotion = Promotion(Registry("m"))
    assert promotion.rollback("misses bicycles") and aliases()["champion"] == "2"
    again = register_challenger(params, (0.9, 0.9))
    assert failed_rules(again) == {"rolled_back"} and "Ada rolled it back (misses bicycles)" in again.reasons[0], (
        "the next run does not undo a rollback"
    )
    assert promotion.rollback("misses cars") and aliases()["champion"] == "1"
    with pytest.raises(InputError, match="m: nothing to roll back to: version 1 was the first champion"):
        promotion.rollback("once more")
    assert promotion.force("3", "bicycles are back") and aliases()["champion"] == "3"
    assert promotion.rollback("no") and aliases()["champion"] == "1", "the champion before it"
    with pytest.raises(InputError, match="version 1: is the champion already"):
        promotion.force("1", "because")
    moves = [(e.action, e.previous, e.version, e.why) for e in promotion.journal.entries() if e.action != "register"][3:]
    assert moves == [
        ("rollback", "3", "2", "misses bicycles"),
        ("rollback", "2", "1", "misses cars"),
        ("force", "1", "3", "bicycles are back"),
        ("rollback", "3", "1", "no"),
    ]


def test_without_a_champion_there_is_nothing_to_roll_back_to() -> None:
    with pytest.raises(InputError, match="m: nothing to roll back to: there is no champion"):
        Promotion(Registry("m")).rollback("")


def test_nothing_changes_if_a_model_cannot_be_loaded(params: Params) -> None:
    register_challenger(params, (0.3, 0.3))
    register_challenger(params, (0.6, 0.6))
    promotion = Promotion(Registry("m"))
    files = {version.number: next(Path("mlruns").rglob(f"{version.run_id}/artifacts/model")) for version in promotion.registry.versions()}
    before = snapshot()
    shutil.rmtree(files["1"])
    for move in (lambda: promotion.rollback("bad"), lambda: promotion.force("1", "it was good")):
        with pytest.raises(InputError, match=r"m version 1: cannot be loaded .*so nothing was changed; restore its files"):
            move()
    next(files["2"].rglob("*.onnx")).write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"m version 2: file .* is not the registered one .*so nothing is loaded; restore the file"):
        register_challenger(params, (0.9, 0.9))
    assert snapshot() == before


def test_promote_returns_false_if_the_champion_changed_in_the_meantime(params: Params) -> None:
    register_challenger(params, (0.3, 0.3))
    promotion, other = Promotion(Registry("m")), Promotion(Registry("m"))
    file = write_model(Path("models/slow.onnx"), (0.6, 0.6))
    number = promotion.registry.register(file, create_run(), TAGS)
    gate_result = promotion.run_gate(number, params, Path("data"))
    register_challenger(params, (0.9, 0.9), other)
    assert gate_result.passed and not promotion.promote(gate_result)
    assert aliases()["champion"] == "3"
