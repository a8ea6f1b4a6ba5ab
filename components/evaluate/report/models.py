"""The models that the report compares."""

import csv
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from kd.detection.decode import Detections
from kd.detection.scores import Scores
from kd.errors import InputError

TITLES = {"teacher": "Teacher", "baseline": "Student alone", "student": "Student distilled"}
DETECTION_TERMS = ("box", "objectness", "class")

History = list[dict[str, float]]


def reference(names: Container[str]) -> str:
    """Whom the student is compared with: the student alone or, where that was not trained, the teacher."""
    return "baseline" if "baseline" in names else "teacher"


@dataclass(frozen=True)
class EvaluatedModel:
    """A model in the comparison.

    Attributes:
        scores: what it reaches on the test split.
        found: its detections on each test picture, in the picture's own pixels.
        history: one row an epoch, as `read_history` returns it.
    """

    scores: Scores
    found: list[Detections]
    history: History


def read_history(path: Path) -> History:
    """Read a training's history.csv; a row lacks the scores of an epoch that was not scored.

    Raises:
        InputError: if the file is missing or is not what a training wrote.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            history = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise InputError(path, "is missing", "run the step that trains the model") from None
    except (ValueError, TypeError):
        raise InputError(path, "is no table of numbers", "run the step that trains the model again") from None
    if any(term not in row for row in history for term in ("epoch", *DETECTION_TERMS)):
        raise InputError(path, f"lacks a column: epoch, {', '.join(DETECTION_TERMS)}", "run the step that trains the model again")
    return history


def detection_loss(row: dict[str, float]) -> float:
    """The part of an epoch's loss that all three trainings share."""
    return sum(row[term] for term in DETECTION_TERMS)
