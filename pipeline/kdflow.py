"""The command `kdflow`: one entry for all commands. A command's module is imported only when it runs, so `--help` is instant."""

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple


class Command(NamedTuple):
    """A command: its description in the help, and the module whose function `main` runs it.

    Args:
        description: one line.
        module: the module.
        own_name: whether `main` is given the arguments without the command's name.
    """

    description: str
    module: str
    own_name: bool = True


COMMANDS = {
    "check": Command("check a dataset, and draw what is doubtful", "components.prepare_data.check"),
    "params": Command("explain every parameter of params.yaml", "components.params.explain"),
    "results": Command("print the scores of the last run", "pipeline.results"),
    "predict": Command("detect objects in pictures and draw them", "kd.cli", own_name=False),
    "show": Command("show the properties of a model file", "kd.cli", own_name=False),
    "convert": Command("convert between Darknet's .weights and kdflow's .safetensors", "kd.cli", own_name=False),
    "registry": Command("list, compare, promote, roll back and copy registered models", "components.registry.commands"),
    "pipeline": Command("run the steps on this machine, or on Kubeflow Pipelines", "pipeline.__main__"),
}
HELP = f"""usage: kdflow COMMAND ...

Train a small detector with a big one as its teacher, and keep it up to date.

commands:
{chr(10).join(f"  {name:10} {command.description}" for name, command in COMMANDS.items())}

examples:
  dvc repro                                     run every step on the data in params.yaml
  kdflow results                                print the scores
  kdflow predict outputs/distill_student/model.safetensors photos/
  kdflow registry promote 4                     put a version into production

`kdflow COMMAND --help` explains a command.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Raises:
        SystemExit: always after `--help`, with code 2 if there is no such command, and as the command does.
    """
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(HELP, end="")
        sys.exit(0)
    if name not in COMMANDS:
        print(f"error: kdflow: there is no command '{name}'; choose one of {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    command = COMMANDS[name]
    run = importlib.import_module(command.module).main
    if command.own_name:
        run(rest, f"kdflow {name}")
    else:
        run([name, *rest], "kdflow")


if __name__ == "__main__":
    main()
