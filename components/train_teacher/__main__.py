"""The command `python -m components.train_teacher`."""

from components.runtime.command import run_command
from components.train_teacher.step import train_teacher

run_command(train_teacher)
