"""The command `python -m components.train_baseline`."""

from components.runtime.command import run_command
from components.train_baseline.step import train_baseline

run_command(train_baseline)
