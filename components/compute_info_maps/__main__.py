"""The command `python -m components.compute_info_maps`."""

from components.runtime.command import run_command

run_command("compute_info_maps")
