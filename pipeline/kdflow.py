"""The command `kdflow`: one entry for all commands. A command's module is imported only when it runs, so `--help` is instant."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from kd.errors import InputError, clean_exit
from kd.threads import configure_threads

COMMANDS = {
    "check": "check a dataset, and draw what is doubtful",
    "params": "explain every parameter of params.yaml",
    "results": "print the scores of the last run",
    "predict": "detect objects in pictures and draw them",
    "show": "show the properties of a model file",
    "convert": "convert between Darknet's .weights and kdflow's .safetensors",
    "monitor": "compare the log of a served model with the test pictures",
    "registry": "list, compare, promote, roll back, copy and prune registered models",
    "pipeline": "run the steps on this machine, or on Kubeflow Pipelines",
    "benchmark": "measure variants, speed and memory (in a checkout of the repository)",
}
MODULES = {
    "check": "components.prepare_data.check",
    "params": "components.params.explain",
    "results": "pipeline.results",
    "registry": "components.registry.commands",
    "monitor": "components.monitor.command",
    "pipeline": "pipeline.__main__",
}
KD_COMMANDS = ("predict", "show", "convert")
"""Commands that are sub-commands of `kd`."""
MOVED = ("list", "compare", "promote", "rollback", "history", "copy")
"""Former commands that are sub-commands of `kdflow registry` now."""
ALIASES = ("champion", "challenger")
CHECKOUT = Path(__file__).parents[1]
HELP = f"""usage: kdflow COMMAND ...

Train a small detector with a big one as its teacher, and keep it up to date.

commands:
{chr(10).join(f"  {name:10} {description}" for name, description in COMMANDS.items())}

examples:
  kdflow check data/mine                        check your pictures and labels
  dvc repro                                     run every step
  kdflow results                                print the scores
  kdflow predict outputs/distill_student/model.safetensors photos/
  kdflow registry promote 4                     put a version into production

`kdflow COMMAND --help` explains a command.
"""


@clean_exit()
def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Raises:
        SystemExit: after `--help`, with code 2 if there is no such command, and as the command does.
    """
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(HELP, end="")
        return
    _check_moved(name, rest)
    if name != "pipeline":  # whose tasks count their threads themselves, maybe in a container
        configure_threads()
    if name in KD_COMMANDS:
        importlib.import_module("kd.cli").main([name, *rest], "kdflow")
    elif name == "benchmark":
        _run_benchmark(rest)
    elif name in MODULES:
        importlib.import_module(MODULES[name]).main(rest, f"kdflow {name}")
    else:
        raise InputError("kdflow", f"there is no command '{name}'", f"use one of {', '.join(COMMANDS)}")


def _check_moved(name: str, rest: list[str]) -> None:
    """Raise `InputError` for a former command, with its new name."""
    shows_version = name == "show" and rest and (rest[0].isdigit() or rest[0] in ALIASES) and not Path(rest[0]).exists()
    if name in MOVED or shows_version:
        raise InputError("kdflow", f"'{name}' is a command of the registry", f"write kdflow registry {' '.join([name, *rest])}")


def _run_benchmark(rest: list[str]) -> None:
    folder = CHECKOUT / "benchmarks"
    if not folder.is_dir():
        raise InputError("kdflow benchmark", "needs the repository", "clone it, and install it with `pip install --editable .`")
    names = sorted(path.stem for path in folder.glob("*.py") if "\ndef main(" in path.read_text(encoding="utf-8"))
    if not rest or rest[0] in ("-h", "--help"):
        print(f"usage: kdflow benchmark NAME ...\n\nNAME is one of {', '.join(names)}; `kdflow benchmark NAME --help` explains it.")
        return
    name, *options = rest
    if name not in names:
        raise InputError("kdflow benchmark", f"there is no benchmark '{name}'", f"use one of {', '.join(names)}")
    sys.path.insert(0, str(CHECKOUT))  # an installation has no benchmarks
    importlib.import_module(f"benchmarks.{name}").main(options, f"kdflow benchmark {name}")


if __name__ == "__main__":
    main()
