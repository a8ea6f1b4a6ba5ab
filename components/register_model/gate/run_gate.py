"""Run the gate on one version: load it and the reference version from the registry, measure both, and check the rules."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.params.models import Params
from components.register_model.gate.bootstrap import Gains, Interval, Matches, paired_bootstrap
from components.register_model.gate.leakage import find_leakage
from components.register_model.gate.measure import LoadedModel, MeasuredModel, measure, measure_latency
from components.register_model.gate.rules import Comparison, GateInputs, Measurements, RuleResult, check_rules
from components.register_model.integrity import ChangedFiles
from components.register_model.packaging import RegisteredDetector
from components.register_model.registered_files import read_onnx
from components.register_model.registry import Registry, Version
from components.runtime.text import one_line
from kd.data.dataset import DetectionData
from kd.detection.decode import Detections
from kd.detection.evaluate import NMSConfig
from kd.errors import InputError
from kd.files import read_json

DIGITS = 6
PENDING = "pending"
EXPORT_DIFFERENCE_TAG = "kdflow.export_difference"
SCORE_TAGS = ("kdflow.map", "kdflow.map50")


class GateResult(NamedTuple):
    """The result of the gate for one version, the challenger.

    Attributes:
        version: the challenger's number.
        reference_version: the number of the version that it was compared with; "" for none.
        data_digest: digest of the prepared data.
        inputs: the inputs of the rules.
        rule_results: the results of the rules.
        detections: the challenger's detections in each test picture.
        test_pictures: the test split.
        needs_approval: whether a version that passes waits for an approval.
        relaxed: the limits that were relaxed on the command line, and why; "" for none.
    """

    version: str
    reference_version: str
    data_digest: str
    inputs: GateInputs
    rule_results: list[RuleResult]
    detections: list[Detections]
    test_pictures: DetectionData
    needs_approval: bool = False
    relaxed: str = ""

    @property
    def passed(self) -> bool:
        """Whether the challenger passed every rule."""
        return all(result.passed for result in self.rule_results)

    @property
    def decision(self) -> str:
        """The decision: "promote", "pending" (passed, and waits for an approval) or "reject"."""
        if not self.passed:
            return "reject"
        return PENDING if self.needs_approval else "promote"

    @property
    def reasons(self) -> list[str]:
        """The reasons of the failed rules or, if all passed, of the rules about the gain; then the relaxed limits."""
        relaxed = [self.relaxed] if self.relaxed else []
        if not self.passed:
            return [result.reason for result in self.rule_results if not result.passed] + relaxed
        if not self.inputs.comparison:
            return ["there is no champion yet, and every minimum is reached", *relaxed]
        return [result.reason for result in self.rule_results if result.rule in ("gain", "certainty")] + relaxed

    def to_json(self) -> dict[str, Any]:
        """The result as JSON. It contains no times, so equal inputs and an equal registry give an equal result."""
        comparison = self.inputs.comparison
        return {
            "decision": self.decision,
            "reasons": self.reasons,
            "rules": {result.rule: {"passed": result.passed, "reason": result.reason} for result in self.rule_results},
            "challenger": _scores(self.inputs.challenger),
            "champion": _scores(comparison.champion) if comparison else None,
            "gain": _intervals(comparison.gain) if comparison else None,
        }


def load_version(registry: Registry, number: str) -> LoadedModel:
    """Verify the files of a version and load it.

    Raises:
        InputError: if its files are not the registered ones, or it cannot be loaded.
    """
    try:
        network = read_onnx(registry, registry.version(number))
        return LoadedModel(RegisteredDetector(network), network)
    except ChangedFiles:
        raise
    except Exception as error:  # runtimes raise exceptions of many kinds
        problem = f"cannot be loaded ({one_line(error)}), so nothing was changed"
        replace = "`kdflow registry rollback` or `kdflow registry promote VERSION --force`"
        remedy = f"restore its files; if it is the champion, replace it with {replace}"
        raise InputError(f"{registry.name} version {number}", problem, remedy) from error


def run_gate(registry: Registry, version: Version, reference_version: str, params: Params, data: Path) -> GateResult:
    """Compare a version with the version `reference_version`, "" for none, on the test split of the prepared `data`.

    Raises:
        InputError: if one of them cannot be loaded, or there are no test pictures.
    """
    section = params.register_model
    champion = load_version(registry, reference_version) if reference_version else None
    challenger = load_version(registry, version.number)
    compared = {"challenger": version} | ({"champion": registry.version(reference_version)} if reference_version else {})
    leaked = {role: find_leakage(registry, one, data) for role, one in compared.items()}
    split = load_test_split(data, challenger)
    measured, comparison = measure_models(challenger, champion, split, params)
    difference = version.tags.get(EXPORT_DIFFERENCE_TAG)
    scores = tuple(float(version.tags[tag]) for tag in SCORE_TAGS if tag in version.tags)
    digest = str(read_json(data / "summary.json")["digest"])
    same_data, export_difference = version.tags.get("kdflow.data_digest") == digest, float(difference) if difference else None
    inputs = GateInputs(measured.measurements, comparison, scores, same_data, export_difference, section.tolerance, leaked)
    return GateResult(version.number, reference_version, digest, inputs, check_rules(inputs, section.gate), measured.detections, split)


def load_test_split(data: Path, model: LoadedModel) -> DetectionData:
    """The test split of prepared data, in the image size of a model.

    Raises:
        InputError: if there are no test pictures.
    """
    split = DetectionData(data / "test", model.detect.image_size)
    if not len(split):
        raise InputError(data / "test", "has no pictures", "raise data.test, or add a test split")
    return split


def measure_models(
    challenger: LoadedModel, champion: LoadedModel | None, split: DetectionData, params: Params
) -> tuple[MeasuredModel, Comparison | None]:
    """Measure the challenger and compare it with the champion, if there is one, on the same pictures."""
    nms = NMSConfig(params.evaluate.confidence, params.evaluate.nms_iou, params.evaluate.max_detections)
    ours = measure("challenger", challenger, split, nms)
    if not champion:
        return ours, None
    theirs = measure("champion", champion, split, nms)
    gate = params.register_model.gate
    groups = picture_groups(split, gate.group_pattern)
    gains = paired_bootstrap(ours.matches, theirs.matches, gate.resamples, gate.confidence, gate.comparisons, groups)
    times = measure_latency({"challenger": challenger, "champion": champion}, split)
    ratio = times["challenger"] / times["champion"]
    comparison = make_comparison(theirs.measurements, gains, ratio, split.classes, ours.matches)
    return ours, comparison._replace(pictures=int(groups.max()) + 1)


def picture_groups(split: DetectionData, pattern: str) -> NDArray[np.intp]:
    """The number of each picture's group, 0 to G - 1; each picture is a group if there is no `pattern`.

    Raises:
        InputError: if the name of a picture does not match.
    """
    found = [re.search(pattern, name) if pattern else None for name in split.names]
    if pattern and None in found:
        name, problem = split.names[found.index(None)], f"does not match '{pattern}' (register_model.gate.group_pattern)"
        raise InputError(f"{split.folder}, {name}", problem, "correct the pattern, so that every test picture has a group")
    names = [match[1] if match else name for match, name in zip(found, split.names, strict=True)]
    return np.unique(names, return_inverse=True)[1] if pattern else np.arange(len(split))


def make_comparison(
    champion: Measurements, gains: Gains, latency_ratio: float, classes: Sequence[str], matches: Sequence[Matches]
) -> Comparison:
    """The comparison with a champion, from measurements, and matches with the test objects of each of the `classes`."""
    objects = {name: int(own.objects.sum()) for name, own in zip(classes, matches, strict=True)}
    class_gain = {classes[label]: gain for label, gain in gains.by_class.items()}
    return Comparison(champion, gains.mean, latency_ratio, len(matches[0].objects), objects, class_gain)


def finite_or_none(value: float) -> float | None:
    """A score rounded for JSON; None if it is NaN or infinite, which JSON cannot represent."""
    return round(value, DIGITS) if math.isfinite(value) else None


def _scores(model: Measurements) -> dict[str, Any]:
    return {
        "map": finite_or_none(model.map),
        "map50": finite_or_none(model.map50),
        "per_class": {name: finite_or_none(value) for name, value in model.per_class.items()},
        "megabytes": finite_or_none(model.megabytes),
    }


def _intervals(gain: Mapping[str, Interval]) -> dict[str, Any]:
    return {name: {key: finite_or_none(value) for key, value in interval._asdict().items()} for name, interval in gain.items()}
