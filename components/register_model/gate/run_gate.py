"""One judgement: the challenger and its opponent, fetched from the registry, measured and judged."""

import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from components.params.models import Params
from components.register_model.gate.bootstrap import Interval
from components.register_model.gate.measure import LoadedModel, MeasuredModel, compare, measure
from components.register_model.gate.rules import Comparison, GateInputs, Measurements, RuleResult, judge
from components.register_model.packaging import open_model
from components.register_model.registry import Registry, Version
from kd.data.dataset import DetectionData
from kd.detection.evaluate import NMSConfig
from kd.errors import InputError
from kd.files import read_json

CHALLENGER = "challenger"
DIGITS = 6
EXPORT_DIFFERENCE = "kdflow.export_difference"
EVALUATED = ("kdflow.map", "kdflow.map50")


class GateResult(NamedTuple):
    """What the gate found.

    Attributes:
        version: the challenger's number.
        opponent: the number of the version that it was judged against; "" for none.
        data_digest: digest of the prepared data.
        facts: what was measured.
        verdicts: what the rules say to that.
        result: what the challenger found on the test pictures.
        split: these pictures.
    """

    version: str
    reference_version: str
    data_digest: str
    facts: GateInputs
    rule_results: list[RuleResult]
    result: MeasuredModel
    split: DetectionData

    @property
    def passed(self) -> bool:
        """Whether every rule is kept."""
        return all(rule_result.passed for rule_result in self.rule_results)

    @property
    def decision(self) -> str:
        """The decision as a word."""
        return "promote" if self.passed else "reject"

    @property
    def reasons(self) -> list[str]:
        """What speaks for the decision: the broken rules or, where there are none, those that say what is better."""
        if not self.passed:
            return [rule_result.reason for rule_result in self.rule_results if not rule_result.passed]
        if not self.facts.comparison:
            return ["there is no champion to beat, and every floor is reached"]
        return [rule_result.reason for rule_result in self.rule_results if rule_result.rule in ("gain", "certainty")]


def load(registry: Registry, number: str, folder: Path) -> LoadedModel:
    """Load a version as a consumer does, by way of a new `folder`.

    Raises:
        InputError: if it cannot be loaded.
    """
    try:
        folder.mkdir()
        local = registry.download(number, folder)
        files = sorted(local.rglob("*.onnx"))
        if len(files) != 1:
            raise InputError(local.name, f"holds {len(files)} ONNX files instead of one", "register it with kdflow")
        return LoadedModel(open_model(str(local)), files[0])
    except InputError as error:
        problem = f"cannot be loaded ({error}), so nothing was changed"
        remedy = "put its files back; if it is the champion, `kdflow rollback` or `kdflow promote VERSION --force` replaces it"
        raise InputError(f"{registry.name} version {number}", problem, remedy) from error


def check_loadable(registry: Registry, number: str) -> None:
    """Raise an `InputError` if a version cannot be loaded."""
    with TemporaryDirectory() as folder:
        load(registry, number, Path(folder) / "model")


def run_gate(registry: Registry, version: Version, reference_version: str, params: Params, data: Path) -> GateResult:
    """Judge a version against the version `opponent`, "" for none, on the test split of the prepared `data`.

    Raises:
        InputError: if one of them cannot be loaded, or there are no test pictures.
    """
    section = params.register_model
    with TemporaryDirectory() as folder:
        champion = load(registry, reference_version, Path(folder) / "champion") if reference_version else None
        challenger = load(registry, version.number, Path(folder) / "challenger")
        split = test_split(data, challenger)
        if champion:
            result, comparison = against(challenger, champion, split, params)
        else:
            result, comparison = measure(CHALLENGER, challenger, split, _selection(params)), None
    difference = version.tags.get(EXPORT_DIFFERENCE)
    evaluated = tuple(float(version.tags[tag]) for tag in EVALUATED if tag in version.tags)
    facts = GateInputs(result.measured, comparison, evaluated, float(difference) if difference else None, section.tolerance)
    digest = str(read_json(data / "summary.json")["digest"])
    return GateResult(version.number, reference_version, digest, facts, judge(facts, section.gate), result, split)


def test_split(data: Path, contender: LoadedModel) -> DetectionData:
    """The test split of prepared data, for a model.

    Raises:
        InputError: if there are no test pictures.
    """
    split = DetectionData(data / "test", contender.detect.image_size)
    if not len(split):
        raise InputError(data / "test", "has no pictures", "raise data.test, or add a test split")
    return split


def against(challenger: LoadedModel, champion: LoadedModel, split: DetectionData, params: Params) -> tuple[MeasuredModel, Comparison]:
    """Measure both on the same pictures and compare."""
    ours, theirs = (measure(name, c, split, _selection(params)) for name, c in ((CHALLENGER, challenger), ("champion", champion)))
    return ours, compare(ours, theirs, (challenger, champion), split, params.register_model.gate)


def content(gate_result: GateResult) -> dict[str, Any]:
    """A judgement as JSON: what equal inputs and an equal registry make equal, so no times."""
    comparison = gate_result.facts.comparison
    return {
        "decision": gate_result.decision,
        "reasons": gate_result.reasons,
        "rules": {rule_result.rule: {"passed": rule_result.passed, "reason": rule_result.reason} for rule_result in gate_result.rule_results},
        "challenger": _measures(gate_result.facts.challenger),
        "champion": _measures(comparison.champion) if comparison else None,
        "gain": _intervals(comparison.gain) if comparison else None,
    }


def _selection(params: Params) -> NMSConfig:
    return NMSConfig(params.evaluate.confidence, params.evaluate.nms_iou, params.evaluate.max_detections)


def _measures(model: Measurements) -> dict[str, Any]:
    return {
        "map": number(model.map),
        "map50": number(model.map50),
        "per_class": {name: number(value) for name, value in model.per_class.items()},
        "megabytes": number(model.megabytes),
    }


def _intervals(gain: Mapping[str, Interval]) -> dict[str, Any]:
    return {name: {key: number(value) for key, value in interval._asdict().items()} for name, interval in gain.items()}


def number(value: float) -> float | None:
    """A score rounded for JSON, which cannot say NaN: that is None."""
    return round(value, DIGITS) if math.isfinite(value) else None
