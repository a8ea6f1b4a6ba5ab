"""The command `python -m components.register_model`."""

from components.runtime.command import run_command

run_command("register_model")
