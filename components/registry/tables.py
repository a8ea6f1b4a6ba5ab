"""What `kdflow` prints: tables of versions, moves and measures."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.markup import escape
from rich.table import Table

from components.register_model.gate.bootstrap import Interval
from components.register_model.gate.rules import Measurements, RuleResult, points
from components.register_model.journal import Entry, replay
from components.register_model.registry import Version
from components.register_model.version_card import LINEAGE

DIGEST = 8
"""Characters of a digest that a table shows."""


def versions_table(versions: Sequence[Version]) -> Table:
    """A row a version, the newest first; scores in points, of the step evaluate."""
    table = _table("", "aliases", "registered (UTC)", "mAP50", "mAP", "gate", "commit", "data")
    for version in reversed(versions):
        tags = version.tags
        scores = [points(float(tags[tag])) if tag in tags else "" for tag in ("kdflow.map50", "kdflow.map")]
        origin = [tags.get(tag, "")[:DIGEST] for tag in ("kdflow.git_commit", "kdflow.data_digest")]
        aliases = "\n".join(f"@{alias}" for alias in version.aliases)
        table.add_row(version.number, aliases, _when(version.created), *scores, tags.get("kdflow.gate", "not judged"), *origin)
    return table


def version_table(version: Version, runs: Mapping[str, str]) -> Table:
    """All that is known of a version: what it was made of and by which runs, and what the gate said."""
    tags = version.tags
    rows = {
        "version": version.number,
        "aliases": ", ".join(f"@{alias}" for alias in version.aliases),
        "registered (UTC)": _when(version.created),
        **{name: tags[tag] for tag, name in LINEAGE.items() if tag in tags},
        "copied from": tags.get("kdflow.copied_from", ""),
        **{f"run of {step}": run for step, run in runs.items()},
        "mAP50, mAP": ", ".join(points(float(tags[tag])) for tag in ("kdflow.map50", "kdflow.map") if tag in tags),
        "gate": tags.get("kdflow.gate", "not judged"),
        "judged against": tags.get("kdflow.previous_champion", ""),
    }
    table = _table("", "")
    table.show_header = False
    for name, value in rows.items():
        if value:
            table.add_row(name, escape(value))
    return table


def stored_rule_results(version: Version) -> list[RuleResult]:
    """What the gate said of a version."""
    rules = json.loads(version.tags.get("kdflow.gate_rules", "{}"))
    return [RuleResult(rule, said["passed"], said["reason"]) for rule, said in rules.items()]


def rules_table(rule_results: Sequence[RuleResult]) -> Table:
    """A row a rule."""
    table = _table("rule", "", "reason")
    for rule_result in rule_results:
        table.add_row(rule_result.rule, "[green]kept" if rule_result.passed else "[red bold]broken", escape(rule_result.reason))
    return table


def history_table(entries: Sequence[Entry]) -> Table:
    """A row a move, oldest first; those that came too late say so."""
    void = replay(entries).void
    table = _table("when (UTC)", "what", "alias", "from", "to", "who", "why")
    for entry in entries:
        late = entry.token in void
        alias, before = ("@challenger", "") if entry.action == "register" else ("@champion", entry.previous)
        why = f"too late, void: the champion was no longer {entry.previous or 'none'}. {entry.why}" if late else entry.why
        cells = (_when(entry.when), entry.action, alias, before, entry.version, entry.who, why)
        table.add_row(*map(escape, cells), style="dim" if late else None)
    return table


def comparison_table(names: tuple[str, str], ours: Measurements, theirs: Measurements, gain: Mapping[str, Interval], latency: float) -> Table:
    """Two versions side by side: scores in points with their difference and its interval, AP50 by class, size and time."""
    table = _table("", *(f"version {name}" for name in names), "difference", "between")
    for label, name in (("mAP", "map"), ("mAP50", "map50")):
        change = gain[name]
        values = (points(getattr(ours, name)), points(getattr(theirs, name)))
        table.add_row(label, *values, _signed(change.difference), f"{_signed(change.low)} and {_signed(change.high)}", style="bold")
    for name in sorted({*ours.per_class, *theirs.per_class}):
        a, b = ours.per_class.get(name, 0.0), theirs.per_class.get(name, 0.0)
        table.add_row(f"AP50 of {escape(name)}", points(a), points(b), _signed(a - b), "")
    table.add_row("megabytes", f"{ours.megabytes:.2f}", f"{theirs.megabytes:.2f}", f"x {ours.megabytes / theirs.megabytes:.2f}", "")
    table.add_row("time for a picture", "", "", f"x {latency:.2f}", "")
    return table


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _when(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}"
