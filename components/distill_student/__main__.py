"""The command `python -m components.distill_student`."""

from components.runtime.command import run_command

run_command("distill_student")
