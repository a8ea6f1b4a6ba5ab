"""One judgement: the challenger and its opponent, fetched from the registry, measured and judged."""

import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from components.gate.bootstrap import Interval
from components.gate.measure import Contender, Result, compare, measure
from components.gate.rules import Comparison, Facts, Measured, Verdict, judge
from components.packaging import open_model
from components.params import Params
from components.registry.store import Registry, Version
from kd.data.dataset import DetectionData
from kd.detection.evaluate import Selection
from kd.errors import InputError
from kd.files import read_json

CHALLENGER = "challenger"
DIGITS = 6
EXPORT_DIFFERENCE = "kdflow.export_difference"
EVALUATED = ("kdflow.map", "kdflow.map50")


class Judgement(NamedTuple):
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
    opponent: str
    data_digest: str
    facts: Facts
    verdicts: list[Verdict]
    result: Result
    split: DetectionData

    @property
    def passed(self) -> bool:
        """Whether every rule is kept."""
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def decision(self) -> str:
        """The decision as a word."""
        return "promote" if self.passed else "reject"

    @property
    def reasons(self) -> list[str]:
        """What speaks for the decision: the broken rules or, where there are none, those that say what is better."""
        if not self.passed:
            return [verdict.reason for verdict in self.verdicts if not verdict.passed]
        if not self.facts.comparison:
            return ["there is no champion to beat, and every floor is reached"]
        return [verdict.reason for verdict in self.verdicts if verdict.rule in ("gain", "certainty")]


def load(registry: Registry, number: str, folder: Path) -> Contender:
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
        return Contender(open_model(str(local)), files[0])
    except InputError as error:
        problem = f"cannot be loaded ({error}), so nothing was changed"
        remedy = "put its files back; if it is the champion, `kdflow rollback` or `kdflow promote VERSION --force` replaces it"
        raise InputError(f"{registry.name} version {number}", problem, remedy) from error


def check_loads(registry: Registry, number: str) -> None:
    """Raise an `InputError` if a version cannot be loaded."""
    with TemporaryDirectory() as folder:
        load(registry, number, Path(folder) / "model")


def judgement(registry: Registry, version: Version, opponent: str, params: Params, data: Path) -> Judgement:
    """Judge a version against the version `opponent`, "" for none, on the test split of the prepared `data`.

    Raises:
        InputError: if one of them cannot be loaded, or there are no test pictures.
    """
    section = params.register_model
    with TemporaryDirectory() as folder:
        champion = load(registry, opponent, Path(folder) / "champion") if opponent else None
        challenger = load(registry, version.number, Path(folder) / "challenger")
        split = test_split(data, challenger)
        if champion:
            result, comparison = against(challenger, champion, split, params)
        else:
            result, comparison = measure(CHALLENGER, challenger, split, _selection(params)), None
    difference = version.tags.get(EXPORT_DIFFERENCE)
    evaluated = tuple(float(version.tags[tag]) for tag in EVALUATED if tag in version.tags)
    facts = Facts(result.measured, comparison, evaluated, float(difference) if difference else None, section.tolerance)
    digest = str(read_json(data / "summary.json")["digest"])
    return Judgement(version.number, opponent, digest, facts, judge(facts, section.gate), result, split)


def test_split(data: Path, contender: Contender) -> DetectionData:
    """The test split of prepared data, for a model.

    Raises:
        InputError: if there are no test pictures.
    """
    split = DetectionData(data / "test", contender.detect.image_size)
    if not len(split):
        raise InputError(data / "test", "has no pictures", "raise data.test, or add a test split")
    return split


def against(challenger: Contender, champion: Contender, split: DetectionData, params: Params) -> tuple[Result, Comparison]:
    """Measure both on the same pictures and compare."""
    ours, theirs = (measure(name, c, split, _selection(params)) for name, c in ((CHALLENGER, challenger), ("champion", champion)))
    return ours, compare(ours, theirs, (challenger, champion), split, params.register_model.gate)


def content(judged: Judgement) -> dict[str, Any]:
    """A judgement as JSON: what equal inputs and an equal registry make equal, so no times."""
    comparison = judged.facts.comparison
    return {
        "decision": judged.decision,
        "reasons": judged.reasons,
        "rules": {verdict.rule: {"passed": verdict.passed, "reason": verdict.reason} for verdict in judged.verdicts},
        "challenger": _measures(judged.facts.challenger),
        "champion": _measures(comparison.champion) if comparison else None,
        "gain": _intervals(comparison.gain) if comparison else None,
    }


def _selection(params: Params) -> Selection:
    return Selection(params.evaluate.confidence, params.evaluate.nms_iou, params.evaluate.max_detections)


def _measures(model: Measured) -> dict[str, Any]:
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
