"""The command `python -m components.train_teacher`."""

from components.runtime.command import run_command

run_command("train_teacher")
