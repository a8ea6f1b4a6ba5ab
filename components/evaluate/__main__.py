"""The command `python -m components.evaluate`."""

from components.runtime.command import run_command

run_command("evaluate")
