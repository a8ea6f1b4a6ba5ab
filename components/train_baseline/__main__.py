"""The command `python -m components.train_baseline`."""

from components.runtime.command import run_command

run_command("train_baseline")
