"""What `kdflow registry` prints with --json."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from components.register_model.gate.bootstrap import Interval
from components.register_model.gate.rules import Measurements, RuleResult
from components.register_model.gate.run_gate import finite_or_none
from components.register_model.journal_entries import JournalEntry, replay_entries
from components.register_model.registry import Version

JsonObject = dict[str, Any]


def version_record(version: Version) -> JsonObject:
    """A version with all its tags."""
    times = {"registered": _time(version.created)}
    return {"version": version.number, "aliases": version.aliases, **times, "run_id": version.run_id, "tags": version.tags}


def shown_record(version: Version, runs: Mapping[str, str], rule_results: Sequence[RuleResult]) -> JsonObject:
    """A version with the runs of its execution by step, and the result of each rule of the gate."""
    return {**version_record(version), "runs": dict(runs), "rules": [result._asdict() for result in rule_results]}


def history_records(entries: Sequence[JournalEntry]) -> list[JsonObject]:
    """The moves of the aliases, oldest first."""
    void = replay_entries(entries).void
    return [{**entry._asdict(), "when": _time(entry.when), "void": entry.token in void} for entry in entries]


def comparison_record(
    names: tuple[str, str], ours: Measurements, theirs: Measurements, gain: Mapping[str, Interval], latency_ratio: float
) -> JsonObject:
    """Two versions on the same test pictures. Scores are in 0..1, None if they are not finite."""
    scores = {
        name: {
            "map": finite_or_none(model.map),
            "map50": finite_or_none(model.map50),
            "ap50": {label: finite_or_none(value) for label, value in model.per_class.items()},
            "megabytes": model.megabytes,
        }
        for name, model in zip(names, (ours, theirs), strict=True)
    }
    change = {metric: {key: finite_or_none(value) for key, value in interval._asdict().items()} for metric, interval in gain.items()}
    return {"versions": list(names), "scores": scores, "gain": change, "latency_ratio": finite_or_none(latency_ratio)}


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
