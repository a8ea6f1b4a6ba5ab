"""Versions that pass the gate and wait for an approval."""

import pytest

from components.params.models import Params
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from kd.errors import InputError
from tests.components.register_model.conftest import aliases, register_challenger

pytestmark = pytest.mark.usefixtures("folder")


def manual(params: Params) -> Params:
    gate = params.register_model.gate.model_copy(update={"approval": "manual"})
    return params.model_copy(update={"register_model": params.register_model.model_copy(update={"gate": gate})})


def test_a_version_that_passes_waits_for_its_approval(params: Params) -> None:
    register_challenger(params, (0.5, 0.5))
    pending = [register_challenger(manual(params), shares) for shares in ((0.7, 0.7), (0.8, 0.8))]
    assert [(result.passed, result.decision, result.to_json()["decision"]) for result in pending] == [(True, "pending", "pending")] * 2
    assert register_challenger(manual(params), (0.3, 0.3)).decision == "reject"
    promotion = Promotion(Registry("m"))
    assert aliases()["champion"] == "1" and promotion.registry.version("2").tags["kdflow.gate"] == "pending"
    with pytest.raises(InputError, match=r"m version 4: does not wait for an approval \(gate: reject\)"):
        promotion.approve("4", "no")
    assert promotion.approve("3", "better at night") and aliases()["champion"] == "3"
    assert promotion.registry.version("3").tags["kdflow.gate"] == "promote"
    entry = promotion.journal.entries()[-1]
    assert (entry.action, entry.previous, entry.version, entry.who) == ("promote", "1", "3", "Ada")
    assert entry.why.startswith("approved: better at night; mAP changes by +")
    with pytest.raises(InputError, match="m version 2: was compared with version 1, but the champion is version 3"):
        promotion.approve("2", "too late")
    again = register_challenger(manual(params), (0.8, 0.8))
    assert again.decision == "promote" and promotion.registry.version("3").tags["kdflow.gate"] == "promote", "it is approved already"


def test_an_approval_that_was_interrupted_is_completed(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    register_challenger(manual(params), (0.5, 0.5))
    promotion = Promotion(Registry("m"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(promotion.registry, "set_tags", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        promotion.approve("1", "good")
    assert promotion.approve("1", "good") and promotion.registry.version("1").tags["kdflow.gate"] == "promote"
    assert [entry.action for entry in promotion.journal.entries()] == ["register", "promote"]
