"""The command `kdflow registry`: list, show, compare, promote, roll back, copy, verify and prune registered models."""

import argparse
import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from components.params.load import load_params
from components.params.models import Params
from components.runtime.store import limit_requests, sqlite_file
from kd.errors import InputError, clean_exit, fail, printable

if TYPE_CHECKING:
    from components.register_model.promotion import Promotion

Run = Callable[[argparse.Namespace, Params, "Promotion"], int]
EXAMPLES = {
    "list": ["kdflow registry list", "kdflow registry list --json", "kdflow registry --model another list"],
    "show": ["kdflow registry show 3", "kdflow registry show champion"],
    "compare": ["kdflow registry compare 4 champion", "kdflow registry compare 4 3 --data outputs/prepare_data"],
    "promote": ["kdflow registry promote 4", 'kdflow registry promote 4 --force --reason "the new camera needs it"'],
    "approve": ['kdflow registry approve 4 --reason "looked at the detections"'],
    "rollback": ["kdflow registry rollback", 'kdflow registry rollback 4 --reason "misses bicycles at night"'],
    "history": ["kdflow registry history"],
    "settle": ["kdflow registry settle", 'kdflow registry settle --reason "entry 7 was deleted by mistake"'],
    "verify": ["kdflow registry verify champion", "kdflow registry verify --all"],
    "seal": ['kdflow registry seal 3 --reason "compared with the backup"'],
    "prune": ["kdflow registry prune --older-than 90d", "kdflow registry prune --older-than 90d --yes"],
    "copy": ["kdflow registry copy 4 --to production", "kdflow registry copy champion --to-store https://mlflow.example.org"],
}
DESCRIPTION = """List, show, compare, promote, approve, roll back, copy, verify and prune registered models.

VERSION is a number, or an alias: champion (in production) or challenger (registered last).
The registry is the one at MLFLOW_TRACKING_URI, otherwise mlflow.db in this folder."""
EXIT_CODES = """exit codes: 0 done; 1 the gate failed, the champion changed in the meantime, or a file is not the registered one;
2 an error, and nothing was changed"""


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m components.registry") -> None:
    """Run the command line. MLflow and torch are imported only if a command needs them, because that takes seconds."""
    args = _parser(prog).parse_args(arguments)
    params = load_params(args.params, args.set)
    if (file := sqlite_file()) and not file.is_file():
        raise InputError(file, "is missing, so there is no registry here", "run `dvc repro` first, or set MLFLOW_TRACKING_URI")
    from components.register_model.promotion import Promotion
    from components.register_model.registry import Registry

    limit_requests()
    registry = Registry(args.model or params.register_model.name)
    sys.exit(args.run(args, params, Promotion(registry, params.register_model.notify)))


def _list(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.registry.records import version_record
    from components.registry.tables import versions_table

    _warn(promotion)
    versions = promotion.registry.versions()
    if not versions:
        promotion.registry.version("champion")  # raises an error with the names of the registered models
    _print(args, [version_record(version) for version in versions], versions_table(versions))
    return 0


def _show(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.registry.records import shown_record
    from components.registry.tables import rules_table, stored_rule_results, version_table

    _warn(promotion)
    version = promotion.registry.version(args.version)
    runs, rule_results = promotion.registry.runs(version), stored_rule_results(version)
    tables = [version_table(version, runs), *([rules_table(rule_results)] if rule_results else [])]
    _print(args, shown_record(version, runs, rule_results), *tables)
    return 0


def _compare(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
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


def _promote(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.register_model.gate.relaxed import relaxed_limits
    from components.register_model.journal import current_user
    from components.register_model.promotion import SUPERSEDED
    from components.registry.tables import rules_table

    relaxed = relaxed_limits(load_params(args.params).register_model, params.register_model) if args.set else []
    option = "--force" if args.force else f"--set, which relaxes {', '.join(relaxed)}," if relaxed else ""
    if bool(option) != bool(args.reason):
        problem = f"{option} needs --reason" if option else "--reason needs --force, or --set that relaxes a limit"
        raise InputError("promote", problem, 'write --reason "..."; it is recorded' if option else "leave it out")
    champion = promotion.journal.sync_aliases().champion
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


def _approve(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.register_model.promotion import SUPERSEDED

    number = promotion.registry.version(args.version).number
    moved = promotion.approve(number, args.reason)
    print(f"{promotion.registry.name} version {number} {'is the champion' if moved else f'is not promoted: {SUPERSEDED}'}")
    return 0 if moved else 1


def _rollback(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    number = promotion.registry.version(args.version).number if args.version else ""
    before = promotion.registry.aliases().get("champion")
    moved = promotion.rollback(args.reason, number)
    champion = promotion.journal.sync_aliases().champion
    problem = "" if moved else "not rolled back, because the champion changed in the meantime; "
    if moved and champion == before:
        problem = f"nothing changed, because version {number} is not the champion; "
    print(f"{promotion.registry.name}: {problem}the champion is version {champion}")
    return 0 if moved else 1


def _history(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.registry.records import history_records
    from components.registry.tables import history_table

    _warn(promotion)
    entries = promotion.journal.entries()
    if not entries:
        promotion.registry.version("champion")  # raises an error with the names of the registered models
    _print(args, history_records(entries), history_table(entries))
    return 0


def _verify(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.register_model.integrity import ChangedFiles

    registry = promotion.registry
    versions = registry.versions() if args.all else []
    changed = 0
    for version in versions or [registry.version(args.version)]:
        try:
            with TemporaryDirectory() as folder:
                copy = registry.verify(version, Path(folder))
            print(f"{copy.name}: {len(copy.digests)} files are the registered ones")
        except ChangedFiles as error:
            changed += 1
            fail(str(error))
    return 1 if changed else 0


def _seal(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.registry.seal import seal

    version = promotion.registry.version(args.version)
    count = seal(promotion.registry, version, args.reason)
    print(f"{promotion.registry.name} version {version.number}: recorded the digests of {count} files")
    return 0


def _copy(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
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


def _settle(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    state = promotion.journal.settle(args.reason)
    print(f"{promotion.registry.name}: the champion is version {state.champion or 'none'}, the challenger {state.challenger or 'none'}")
    return 0


def _prune(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
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


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.epilog = _epilog([line for lines in EXAMPLES.values() for line in lines])
    parser.add_argument("--model", metavar="NAME", help="registered model (default: register_model.name of the parameters)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter, such as register_model.gate.min_map=0"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = _add_command(commands, "list", "list all versions", _list)
    show = _add_version(_add_command(commands, "show", "show one version: its lineage, and the result of each rule of the gate", _show))
    compare = _add_version(_add_command(commands, "compare", "compare two versions on the same test pictures; changes nothing", _compare))
    compare.add_argument("other", metavar="OTHER", help="the version to compare with")
    promote = _add_version(_add_command(commands, "promote", "make a version the champion if it passes the gate", _promote))
    for command in (compare, promote):
        data = Path("outputs/prepare_data")
        command.add_argument("--data", type=Path, default=data, metavar="PATH", help="prepared data with a test split (%(default)s)")
    promote.add_argument("--force", action="store_true", help="promote without the gate; needs --reason")
    reason_help = "the reason for --force, or for limits that --set relaxes; stored in the history"
    promote.add_argument("--reason", default="", metavar="WHY", help=reason_help)
    approve = _add_version(_add_command(commands, "approve", "make a version the champion that passed the gate and waits", _approve))
    approve.add_argument("--reason", required=True, metavar="WHY", help="stored in the history")
    rollback = _add_command(commands, "rollback", "make the previous champion the champion again; can be repeated", _rollback)
    version_help = "the version to roll back; if it is not the champion, nothing changes (default: the champion)"
    rollback.add_argument("version", nargs="?", default="", metavar="VERSION", help=version_help)
    rollback.add_argument("--reason", default="by hand", metavar="WHY", help="stored in the history")
    settle = _add_command(commands, "settle", "set the aliases as in the journal, or accept that entries of it are missing", _settle)
    settle.add_argument("--reason", default="by hand", metavar="WHY", help="stored in the history if entries are missing")
    verify = _add_command(commands, "verify", "compare the files of a version with the digests recorded at its registration", _verify)
    verify.add_argument("version", nargs="?", default="champion", metavar="VERSION", help="a number or an alias (default: champion)")
    verify.add_argument("--all", action="store_true", help="verify every version")
    seal = _add_version(_add_command(commands, "seal", "record the digests of a version that an older release registered", _seal))
    seal.add_argument("--reason", required=True, metavar="WHY", help="why its files can be trusted; stored with the version")
    prune = _add_command(commands, "prune", "remove old rejected versions and runs; never what a rollback or approval needs", _prune)
    age_help = "age of what is removed: a number with h, d or w, such as 90d for days"
    prune.add_argument("--older-than", type=_age, required=True, metavar="AGE", help=age_help)
    prune.add_argument("--yes", action="store_true", help="remove; without it, only print what would be removed")
    history = _add_command(commands, "history", "list every move of an alias: when, from, to, who and why", _history)
    for command in (listing, show, compare, history):
        command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    purpose = "copy a version and its lineage to another model or store, without its aliases and the gate's result"
    copy = _add_version(_add_command(commands, "copy", purpose, _copy))
    copy.add_argument("--to", metavar="NAME", help="name of the model there (default: the same name)")
    copy.add_argument("--to-store", metavar="URI", help="another registry, such as https://mlflow.example.org (default: this one)")
    return parser


def _add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, purpose: str, run: Run
) -> argparse.ArgumentParser:
    about = f"{purpose[0].upper()}{purpose[1:]}."
    command = commands.add_parser(name, help=purpose, description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.epilog = _epilog(EXAMPLES[name])
    command.set_defaults(run=run)
    return command


def _age(text: str) -> float:
    """Seconds of an age such as 90d; a type for argparse."""
    match = re.fullmatch(r"(\d{1,6})([hdw])", text)
    if not match:
        raise argparse.ArgumentTypeError("must be a number with h, d or w, such as 90d")
    return float(match[1]) * {"h": 3600, "d": 86400, "w": 604800}[match[2]]


def _epilog(examples: Sequence[str]) -> str:
    return "examples:\n" + "".join(f"  {line}\n" for line in examples) + f"\n{EXIT_CODES}"


def _add_version(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    command.add_argument("version", metavar="VERSION", help="a number, champion or challenger")
    return command
