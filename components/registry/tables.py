"""The tables that `kdflow registry` prints."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.markup import escape as escape_markup
from rich.table import Column, Table

from components.evaluate.points import format_points, format_signed_points
from components.register_model.gate.bootstrap import Interval
from components.register_model.gate.rules import Measurements, RuleResult
from components.register_model.journal_entries import JournalEntry, replay_entries
from components.register_model.registry import Version
from components.register_model.version_card import LINEAGE_TAGS
from kd.errors import printable

DIGEST_LENGTH = 8
"""Characters of a digest in a table."""


def versions_table(versions: Sequence[Version]) -> Table:
    """One row per version, newest first, with the scores of the step evaluate in points."""
    table = _table("", "aliases", "registered (UTC)", "mAP50", "mAP", "gate", "commit", "data")
    for version in reversed(versions):
        tags = version.tags
        scores = [format_points(float(tags[tag])) if tag in tags else "" for tag in ("kdflow.map50", "kdflow.map")]
        lineage = [escape(tags.get(tag, "")[:DIGEST_LENGTH]) for tag in ("kdflow.git_commit", "kdflow.data_digest")]
        aliases = "\n".join(escape(f"@{alias}") for alias in version.aliases)
        table.add_row(version.number, aliases, _time(version.created), *scores, escape(tags.get("kdflow.gate", "not run")), *lineage)
    return table


def version_table(version: Version, runs: Mapping[str, str]) -> Table:
    """One version: its lineage, the runs of its execution by step, its scores, and the gate's decision."""
    tags = version.tags
    rows = {
        "version": version.number,
        "aliases": ", ".join(f"@{alias}" for alias in version.aliases),
        "registered (UTC)": _time(version.created),
        **{name: tags[tag] for tag, name in LINEAGE_TAGS.items() if tag in tags},
        "copied from": tags.get("kdflow.copied_from", ""),
        "sealed by": tags.get("kdflow.sealed", ""),
        **{f"run of {step}": run for step, run in runs.items()},
        "mAP50, mAP": ", ".join(format_points(float(tags[tag])) for tag in ("kdflow.map50", "kdflow.map") if tag in tags),
        "gate": tags.get("kdflow.gate", "not run"),
        "compared with": tags.get("kdflow.previous_champion", ""),
    }
    table = _table("", "")
    table.show_header = False
    for name, value in rows.items():
        if value:
            table.add_row(escape(name), escape(value))
    return table


def stored_rule_results(version: Version) -> list[RuleResult]:
    """The gate's rule results in the tags of a version."""
    rules = json.loads(version.tags.get("kdflow.gate_rules", "{}"))
    return [RuleResult(rule, result["passed"], result["reason"]) for rule, result in rules.items()]


def rules_table(rule_results: Sequence[RuleResult]) -> Table:
    """One row per rule."""
    table = _table("rule", "", "reason")
    for rule, passed, reason in rule_results:
        table.add_row(escape(rule), "[green]passed" if passed else "[red bold]failed", escape(reason))
    return table


def history_table(entries: Sequence[JournalEntry]) -> Table:
    """One row per move of an alias, oldest first; void moves are marked."""
    void = replay_entries(entries).void
    table = _table("when (UTC)", "what", "alias", "from", "to", "who", "why")
    for entry in entries:
        is_void = entry.token in void
        alias, previous = ("@challenger", "") if entry.action == "register" else ("@champion", entry.previous)
        why = f"too late, void: the champion was no longer {entry.previous or 'none'}. {entry.why}" if is_void else entry.why
        cells = (_time(entry.when), entry.action, alias, previous, entry.version, entry.who, why)
        table.add_row(*map(escape, cells), style="dim" if is_void else None)
    return table


def comparison_table(
    names: tuple[str, str], ours: Measurements, theirs: Measurements, gain: Mapping[str, Interval], latency_ratio: float
) -> Table:
    """Two versions side by side: scores in points with the difference and its interval, AP50 by class, size and time."""
    table = _table("", *(f"version {name}" for name in names), "difference", "between")
    for label, name in (("mAP", "map"), ("mAP50", "map50")):
        change = gain[name]
        values = (format_points(getattr(ours, name)), format_points(getattr(theirs, name)))
        interval = f"{format_signed_points(change.low)} and {format_signed_points(change.high)}"
        table.add_row(label, *values, format_signed_points(change.difference), interval, style="bold")
    for name in sorted({*ours.per_class, *theirs.per_class}):
        a, b = ours.per_class.get(name, 0.0), theirs.per_class.get(name, 0.0)
        table.add_row(f"AP50 of {escape(name)}", format_points(a), format_points(b), format_signed_points(a - b), "")
    table.add_row("megabytes", f"{ours.megabytes:.2f}", f"{theirs.megabytes:.2f}", f"x {ours.megabytes / theirs.megabytes:.2f}", "")
    table.add_row("time per picture", "", "", f"x {latency_ratio:.2f}", "")
    return table


def escape(text: str) -> str:
    """Text of users in a cell, without markup of rich, ANSI escapes and line ends."""
    return escape_markup(printable(text))


def _table(*columns: str) -> Table:
    return Table(*(Column(column, overflow="fold") for column in columns))


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
