"""The command `kdflow registry`: list, show, compare, promote, roll back, copy, verify and prune registered models."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.params.load import load_params
from components.params.models import Params
from components.registry import actions
from components.runtime.store import limit_requests, sqlite_file
from kd.errors import InputError, clean_exit

if TYPE_CHECKING:
    from components.register_model.promotion import Promotion

Run = Callable[[argparse.Namespace, Params, "Promotion"], int]
PURPOSES = {
    "list": "list all versions",
    "show": "show one version: its lineage, and the result of each rule of the gate",
    "compare": "compare two versions on the same test pictures; changes nothing",
    "promote": "make a version the champion if it passes the gate",
    "approve": "make a version the champion that passed the gate and waits",
    "rollback": "make the previous champion the champion again; can be repeated",
    "settle": "set the aliases as in the journal, or accept that entries of it are missing",
    "verify": "compare the files of a version with the digests recorded at its registration",
    "seal": "record the digests of a version that an older release registered",
    "sign": "sign the digests of a version with the key in KDFLOW_SIGNING_KEY",
    "prune": "remove old rejected versions and runs; never what a rollback or approval needs",
    "history": "list every move of an alias: when, from, to, who and why",
    "copy": "copy a version and its lineage to another model or store, without its aliases and the gate's result",
}
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
    "sign": ["kdflow registry sign champion"],
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
    registry = Registry(args.model or params.register_model.name, public_key=params.register_model.public_key)
    sys.exit(args.run(args, params, Promotion(registry, params.register_model.notify)))


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.epilog = _epilog([line for lines in EXAMPLES.values() for line in lines])
    parser.add_argument("--model", metavar="NAME", help="registered model (default: register_model.name of the parameters)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter, such as register_model.gate.min_map=0"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = _add_command(commands, "list", actions.list_versions)
    show = _add_version(_add_command(commands, "show", actions.show_version))
    compare = _add_version(_add_command(commands, "compare", actions.compare_versions))
    compare.add_argument("other", metavar="OTHER", help="the version to compare with")
    promote = _add_version(_add_command(commands, "promote", actions.promote_version))
    for command in (compare, promote):
        data = Path("outputs/prepare_data")
        command.add_argument("--data", type=Path, default=data, metavar="PATH", help="prepared data with a test split (%(default)s)")
    promote.add_argument("--force", action="store_true", help="promote without the gate; needs --reason")
    reason_help = "the reason for --force, or for limits that --set relaxes; stored in the history"
    promote.add_argument("--reason", default="", metavar="WHY", help=reason_help)
    approve = _add_version(_add_command(commands, "approve", actions.approve_version))
    approve.add_argument("--reason", required=True, metavar="WHY", help="stored in the history")
    rollback = _add_command(commands, "rollback", actions.roll_back)
    version_help = "the version to roll back; if it is not the champion, nothing changes (default: the champion)"
    rollback.add_argument("version", nargs="?", default="", metavar="VERSION", help=version_help)
    rollback.add_argument("--reason", default="by hand", metavar="WHY", help="stored in the history")
    settle = _add_command(commands, "settle", actions.settle_journal)
    settle.add_argument("--reason", default="by hand", metavar="WHY", help="stored in the history if entries are missing")
    verify = _add_command(commands, "verify", actions.verify_versions)
    verify.add_argument("version", nargs="?", default="champion", metavar="VERSION", help="a number or an alias (default: champion)")
    verify.add_argument("--all", action="store_true", help="verify every version")
    seal = _add_version(_add_command(commands, "seal", actions.seal_version))
    seal.add_argument("--reason", required=True, metavar="WHY", help="why its files can be trusted; stored with the version")
    _add_version(_add_command(commands, "sign", actions.sign_digests))
    prune = _add_command(commands, "prune", actions.prune_old)
    age_help = "age of what is removed: a number with h, d or w, such as 90d for days"
    prune.add_argument("--older-than", type=_age, required=True, metavar="AGE", help=age_help)
    prune.add_argument("--yes", action="store_true", help="remove; without it, only print what would be removed")
    history = _add_command(commands, "history", actions.print_history)
    for command in (listing, show, compare, history):
        command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    copy = _add_version(_add_command(commands, "copy", actions.copy_to))
    copy.add_argument("--to", metavar="NAME", help="name of the model there (default: the same name)")
    copy.add_argument("--to-store", metavar="URI", help="another registry, such as https://mlflow.example.org (default: this one)")
    return parser


def _add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, run: Run) -> argparse.ArgumentParser:
    purpose = PURPOSES[name]
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
