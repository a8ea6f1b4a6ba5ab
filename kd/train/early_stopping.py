"""Early stopping, and the epoch whose weights are the result. Both go by mAP on the val split.

Everything follows from the metrics of the epochs so far, which a checkpoint has, so that a training that resumes decides the same.
"""

from collections.abc import Sequence

SCORE, KEPT_MARK = "val_map", "kept"
"""Keys of the metrics: the score of an epoch that was evaluated, and the mark of the epoch whose weights were kept."""
Metrics = dict[str, float]


def best_epoch(history: Sequence[Metrics]) -> Metrics | None:
    """The metrics of the epoch with the highest score, the first among equals; None if none was evaluated."""
    return max((row for row in history if SCORE in row), key=lambda row: row[SCORE], default=None)


def is_exhausted(history: Sequence[Metrics], patience: int) -> bool:
    """Whether the last `patience` evaluations have not raised the score; never if `patience` is 0."""
    scores = [row[SCORE] for row in history if SCORE in row]
    return 0 < patience < len(scores) and max(scores[-patience:]) <= max(scores[:-patience])


def kept_epoch(history: Sequence[Metrics]) -> Metrics:
    """The metrics of the epoch whose weights are the result of a training: the one with the mark, or else the last."""
    return next((row for row in history if KEPT_MARK in row), history[-1])
