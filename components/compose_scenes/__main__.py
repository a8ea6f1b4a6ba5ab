"""The command `python -m components.compose_scenes`."""

from components.runtime.command import run_command

run_command("compose_scenes")
