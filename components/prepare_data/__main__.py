"""The command `python -m components.prepare_data`."""

from components.runtime.command import run_command

run_command("prepare_data")
