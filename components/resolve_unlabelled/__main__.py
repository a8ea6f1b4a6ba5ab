"""The command `python -m components.resolve_unlabelled`."""

from components.runtime.command import run_command

run_command("resolve_unlabelled")
