"""The command `python -m components.fetch_weights`."""

from components.runtime.command import run_command

run_command("fetch_weights")
