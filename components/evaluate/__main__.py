"""The command `python -m components.evaluate`."""

from components.evaluate.step import evaluate
from components.runtime.command import run_command

run_command(evaluate)
