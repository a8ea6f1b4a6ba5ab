"""The command `kdflow`: what is registered, what is in production and why, and how to take it back."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from components.params.load import load_params
from components.params.models import Params
from components.runtime.tracking import sqlite_file
from kd.errors import InputError, handle_errors

if TYPE_CHECKING:
    from components.register_model.promotion import Promotion

Run = Callable[[argparse.Namespace, Params, "Promotion"], int]
EXAMPLES = {
    "list": ["kdflow list", "kdflow --model another list"],
    "show": ["kdflow show 3", "kdflow show champion"],
    "compare": ["kdflow compare 4 champion", "kdflow compare 4 3 --data outputs/prepare_data"],
    "promote": ["kdflow promote 4", 'kdflow promote 4 --force --reason "the new camera needs it"'],
    "rollback": ["kdflow rollback", 'kdflow rollback 4 --reason "misses bicycles at night"'],
    "history": ["kdflow history"],
    "copy": ["kdflow copy 4 --to production", "kdflow copy champion --to-store https://mlflow.example.org"],
}
DESCRIPTION = """What is registered, what is in production and why, and how to take it back.

A version is a number, or an alias: champion (in production) or challenger (registered last).
The registry is the one that MLFLOW_TRACKING_URI names, otherwise mlflow.db in this folder."""
CODES = """exit codes: 0 done; 1 the gate said no, or another move was faster; 2 bad input or a fault, and nothing was changed"""


@handle_errors
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args = _parser().parse_args(arguments)
    params = load_params(args.params, args.set)
    if (file := sqlite_file()) and not file.is_file():
        raise InputError(file, "is missing, so there is no registry here", "run `dvc repro` first, or set MLFLOW_TRACKING_URI")
    from components.register_model.promotion import Promotion
    from components.register_model.registry import Registry

    registry = Registry(args.model or params.register_model.name)
    sys.exit(args.run(args, params, Promotion(registry, params.register_model.notify)))


def _list(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.registry.tables import versions_table

    promotion.journal.sync_aliases()
    versions = promotion.registry.versions()
    if not versions:
        promotion.registry.version("champion")  # says what there is instead
    _print(versions_table(versions))
    return 0


def _show(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.registry.tables import rules_table, stored_rule_results, version_table

    promotion.journal.sync_aliases()
    version = promotion.registry.version(args.version)
    _print(version_table(version, promotion.registry.runs(version)))
    if rule_results := stored_rule_results(version):
        _print(rules_table(rule_results))
    return 0


def _compare(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.register_model.gate.run_gate import against, load, test_split
    from components.registry.tables import comparison_table

    promotion.journal.sync_aliases()
    numbers = (promotion.registry.version(args.version).number, promotion.registry.version(args.other).number)
    with TemporaryDirectory() as folder:
        ours, theirs = (load(promotion.registry, number, Path(folder) / str(i)) for i, number in enumerate(numbers))
        result, comparison = against(ours, theirs, test_split(args.data, ours), params)
    _print(comparison_table(numbers, result.measured, comparison.champion, comparison.gain, comparison.latency_ratio))
    return 0


def _promote(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.register_model.promotion import SUPERSEDED
    from components.registry.tables import rules_table

    if args.force != bool(args.reason):
        raise InputError("--force", "needs --reason, and --reason --force", 'write --force --reason "..."; it is recorded')
    champion = promotion.journal.sync_aliases().champion
    number = promotion.registry.version(args.version).number
    if number == champion:
        print(f"{promotion.registry.name} version {number} is the champion already")
        return 0
    if args.force:
        moved = promotion.force(number, args.reason)
    else:
        gate_result = promotion.judge(number, params, args.data)
        _print(rules_table(gate_result.rule_results))
        moved = promotion.promote(gate_result)
        if not gate_result.passed:
            print(f"{promotion.registry.name} version {number} is not promoted: {'; '.join(gate_result.reasons)}")
            return 1
    print(f"{promotion.registry.name} version {number} {'is the champion' if moved else f'is not promoted: {SUPERSEDED}'}")
    return 0 if moved else 1


def _rollback(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    moved = promotion.rollback(args.reason, promotion.registry.version(args.version).number if args.version else "")
    champion = promotion.journal.sync_aliases().champion
    print(f"{promotion.registry.name}: {'' if moved else 'another move was faster; '}the champion is version {champion}")
    return 0 if moved else 1


def _history(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.registry.tables import history_table

    promotion.journal.sync_aliases()
    entries = promotion.journal.entries()
    if not entries:
        promotion.registry.version("champion")  # says what there is instead
    _print(history_table(entries))
    return 0


def _copy(args: argparse.Namespace, params: Params, promotion: "Promotion") -> int:
    from components.register_model.registry import Registry
    from components.registry.copies import copy_version

    source = promotion.registry
    promotion.journal.sync_aliases()
    version = source.version(args.version)
    target = Registry(args.to or source.name, args.to_store)
    number = copy_version(source, version, target)
    print(
        f"{source.name} version {version.number} is {target.name} version {number} there; `kdflow --model {target.name} promote {number}`"
    )
    return 0


def _print(table: object) -> None:
    console = Console(highlight=False)
    console.print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("kdflow", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.epilog = "examples:\n" + "".join(f"  {line}\n" for lines in EXAMPLES.values() for line in lines) + f"\n{CODES}"
    parser.add_argument("--model", metavar="NAME", help="registered model (default: register_model.name of the parameters)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change one parameter, as in register_model.gate.min_map=0"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _command(commands, "list", "all versions", _list)
    _version(_command(commands, "show", "one version: what it was made of, and what the gate said", _show))
    compare = _version(_command(commands, "compare", "score two versions on the same test pictures; changes nothing", _compare))
    compare.add_argument("other", metavar="OTHER", help="the version to compare with")
    promote = _version(_command(commands, "promote", "make a version the champion, if it passes the gate", _promote))
    for command in (compare, promote):
        command.add_argument(
            "--data", type=Path, default=Path("outputs/prepare_data"), metavar="PATH", help="prepared data with a test split (%(default)s)"
        )
    promote.add_argument("--force", action="store_true", help="past the gate; needs --reason")
    promote.add_argument("--reason", default="", metavar="WHY", help="why the gate should not count; kept in the history")
    rollback = _command(
        commands, "rollback", "make the champion before this one the champion again; again for the one before that", _rollback
    )
    rolled_back = "the champion to take back; if it no longer is the champion, nothing moves (default: whichever is)"
    rollback.add_argument("version", nargs="?", default="", metavar="VERSION", help=rolled_back)
    rollback.add_argument("--reason", default="by hand", metavar="WHY", help="kept in the history")
    _command(commands, "history", "every move of an alias: when, from where to where, who and why", _history)
    copy = _version(_command(commands, "copy", "register a version elsewhere, with its lineage, unjudged and without aliases", _copy))
    copy.add_argument("--to", metavar="NAME", help="registered model there (default: the same name)")
    copy.add_argument("--to-store", metavar="URI", help="another registry, such as https://mlflow.example.org (default: this one)")
    return parser


def _command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, purpose: str, run: Run) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.epilog = "examples:\n" + "".join(f"  {line}\n" for line in EXAMPLES[name]) + f"\n{CODES}"
    command.set_defaults(run=run)
    return command


def _version(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    command.add_argument("version", metavar="VERSION", help="a number, champion or challenger")
    return command


if __name__ == "__main__":
    main()
