"""What the commands of `kdflow registry` do; each returns its exit code.

MLflow and torch are imported only if a command needs them, because that takes seconds.
"""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from components.params.load import load_params
from components.params.models import Params
from kd.errors import InputError, fail, printable

if TYPE_CHECKING:
    from components.register_model.promotion import Promotion


def list_versions(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Print all versions."""
    from components.registry.records import version_record
    from components.registry.tables import versions_table

    _warn(promotion)
    versions = promotion.registry.versions()
    if not versions:
        promotion.registry.version("champion")  # raises an error with the names of the registered models
    _print(args, [version_record(version) for version in versions], versions_table(versions))
    return 0


def show_version(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Print one version."""
    from components.registry.records import shown_record
    from components.registry.tables import rules_table, stored_rule_results, version_table

    _warn(promotion)
    version = promotion.registry.version(args.version)
    runs, rule_results = promotion.registry.runs(version), stored_rule_results(version)
    tables = [version_table(version, runs), *([rules_table(rule_results)] if rule_results else [])]
    _print(args, shown_record(version, runs, rule_results), *tables)
    return 0


def compare_versions(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Score two versions on the same test pictures, and print the result."""
    from components.register_model.gate.run_gate import load_test_split, load_version, measure_models
    from components.registry.records import comparison_record
    from components.registry.tables import comparison_table

    _warn(promotion)
    numbers = (promotion.registry.version(args.version).number, promotion.registry.version(args.other).number)
    ours, theirs = (load_version(promotion.registry, number) for number in numbers)
    measured, comparison = measure_models(ours, theirs, load_test_split(args.data, ours), params)
    assert comparison
    result = (numbers, measured.measurements, comparison.champion, comparison.gain, comparison.latency_ratio)
    _print(args, comparison_record(*result), comparison_table(*result))
    return 0


def promote_version(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Make a version the champion if it passes the gate, or with --force."""
    from components.register_model.gate.relaxed import relaxed_limits
    from components.register_model.journal import current_user
    from components.register_model.promotion import SUPERSEDED
    from components.registry.tables import rules_table

    relaxed = relaxed_limits(load_params(args.params).register_model, params.register_model) if args.set else []
    option = "--force" if args.force else f"--set, which relaxes {', '.join(relaxed)}," if relaxed else ""
    if bool(option) != bool(args.reason):
        problem = f"{option} needs --reason" if option else "--reason needs --force, or --set that relaxes a limit"
        raise InputError("promote", problem, 'write --reason "..."; it is recorded' if option else "leave it out")
    champion = promotion.sync_aliases().champion
    number = promotion.registry.version(args.version).number
    name = f"{promotion.registry.name} version {number}"
    if number == champion:
        print(f"{name} is the champion already")
        return 0
    if args.force:
        moved = promotion.force(number, args.reason)
    else:
        about = f"limits relaxed by {current_user()}: {', '.join(relaxed)} ({args.reason})" if relaxed else ""
        gate_result = promotion.run_gate(number, params, args.data, about)
        _print(args, None, rules_table(gate_result.rule_results))
        moved = promotion.promote(gate_result)
        if not gate_result.passed:
            print(printable(f"{name} is not promoted: {'; '.join(gate_result.reasons)}"))
            return 1
        if gate_result.needs_approval:
            print(f'{name} passed and waits: kdflow registry approve {number} --reason "..."')
            return 0
    print(f"{name} {'is the champion' if moved else f'is not promoted: {SUPERSEDED}'}")
    return 0 if moved else 1


def approve_version(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Make a version that waits for an approval the champion."""
    from components.register_model.promotion import SUPERSEDED

    number = promotion.registry.version(args.version).number
    moved = promotion.approve(number, args.reason)
    print(f"{promotion.registry.name} version {number} {'is the champion' if moved else f'is not promoted: {SUPERSEDED}'}")
    return 0 if moved else 1


def roll_back(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Make the previous champion the champion again."""
    number = promotion.registry.version(args.version).number if args.version else ""
    before = promotion.registry.aliases().get("champion")
    moved = promotion.rollback(args.reason, number)
    champion = promotion.sync_aliases().champion
    problem = "" if moved else "not rolled back, because the champion changed in the meantime; "
    if moved and champion == before:
        problem = f"nothing changed, because version {number} is not the champion; "
    print(f"{promotion.registry.name}: {problem}the champion is version {champion}")
    return 0 if moved else 1


def print_history(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Print every move of an alias."""
    from components.registry.records import history_records
    from components.registry.tables import history_table

    _warn(promotion)
    entries = promotion.journal.entries()
    if not entries:
        promotion.registry.version("champion")  # raises an error with the names of the registered models
    _print(args, history_records(entries), history_table(entries))
    return 0


def verify_versions(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Compare the files of versions with their digests."""
    from components.register_model.integrity import ChangedFiles
    from components.register_model.registered_files import download_verified

    registry = promotion.registry
    versions = registry.versions() if args.all else []
    changed = 0
    for version in versions or [registry.version(args.version)]:
        try:
            with TemporaryDirectory() as folder:
                copy = download_verified(registry, version, Path(folder))
            print(f"{copy.name}: {len(copy.digests)} files are the registered ones")
        except ChangedFiles as error:
            changed += 1
            fail(str(error))
    return 1 if changed else 0


def seal_version(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Record the digests of a version of an older release."""
    from components.registry.seal import seal

    version = promotion.registry.version(args.version)
    count = seal(promotion.registry, version, args.reason)
    print(f"{promotion.registry.name} version {version.number}: recorded the digests of {count} files")
    return 0


def sign_digests(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Sign the digests of a version."""
    from components.registry.seal import sign_version

    version = promotion.registry.version(args.version)
    sign_version(promotion.registry, version)
    print(f"{promotion.registry.name} version {version.number}: signed the digests of its files")
    return 0


def copy_to(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Copy a version to another model or store."""
    from components.register_model.registry import Registry
    from components.registry.copies import copy_version
    from components.runtime.text import mask_passwords

    source = promotion.registry
    _warn(promotion)
    version = source.version(args.version)
    target = Registry(args.to or source.name, args.to_store)
    number = copy_version(source, version, target)
    print(f"copied {source.name} version {version.number} to {target.name} version {number}")
    store = f"MLFLOW_TRACKING_URI={shlex.quote(mask_passwords(args.to_store))} " if args.to_store else ""
    print(f"to promote it there: {store}kdflow registry --model {shlex.quote(target.name)} promote {number}")
    return 0


def settle_journal(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Set the aliases as in the journal."""
    state = promotion.settle(args.reason)
    print(f"{promotion.registry.name}: the champion is version {state.champion or 'none'}, the challenger {state.challenger or 'none'}")
    return 0


def prune_old(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    """Remove old rejected versions and runs, or print which."""
    from components.registry.prune import describe, find_removable, remove

    removable = find_removable(promotion.journal, round((time.time() - args.older_than) * 1000))
    for line in describe(promotion.registry, removable):
        print(printable(line))
    counts = f"rejected versions: {len(removable.versions)}, finished executions: {len(removable.executions)}"
    if args.yes:
        remove(promotion.journal, removable)
    print(f"removed {counts}" if args.yes else f"would remove {counts}; add --yes to remove them")
    return 0


def _warn(promotion: "Promotion") -> None:
    """Print what a move would correct first. Reading changes nothing, so that it needs no permission to write."""
    for line in promotion.journal.find_problems():
        print(f"warning: {line}", file=sys.stderr)


def _print(args: argparse.Namespace, record: object, *tables: object) -> None:
    """Print `record` as JSON if the command has --json, otherwise `tables`."""
    from rich.console import Console

    if getattr(args, "json", False):
        print(json.dumps(record, indent=2))
        return
    for table in tables:
        Console(highlight=False).print(table)
