"""The models that the report compares."""

import csv
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from kd.detection.decode import Detections
from kd.detection.scores import Scores
from kd.errors import InputError

TITLES = {"teacher": "Teacher", "baseline": "Baseline", "student": "Distilled student"}
DETECTION_TERMS = ("box", "objectness", "class")

History = list[dict[str, float]]


def reference_name(names: Container[str]) -> str:
    """The name of the model that the student is compared with: the baseline or, if it was not trained, the teacher."""
    return "baseline" if "baseline" in names else "teacher"


@dataclass(frozen=True)
class EvaluatedModel:
    """A model with its results.

    Attributes:
        scores: on the test split.
        detections: in each test picture, in the picture's own pixels.
        history: the metrics of each epoch, as `read_history` returns them.
    """

    scores: Scores
    detections: list[Detections]
    history: History


def read_history(path: Path) -> History:
    """Read the history.csv of a training; an epoch that was not evaluated has no scores, and epoch 0 has nothing else.

    Raises:
        InputError: if the file is missing, or was not written by a training.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            history = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise InputError(path, "is missing", "run the step that trains the model") from None
    except (ValueError, TypeError):
        raise InputError(path, "is not a table of numbers", "run the step that trains the model again") from None
    if any(term not in row for row in history for term in ("epoch", *(DETECTION_TERMS if row.get("epoch") else ()))):
        raise InputError(path, f"lacks a column: epoch, {', '.join(DETECTION_TERMS)}", "run the step that trains the model again")
    return history


def detection_loss(row: dict[str, float]) -> float:
    """The detection loss of an epoch, which all three trainings have."""
    return sum(row[term] for term in DETECTION_TERMS)
