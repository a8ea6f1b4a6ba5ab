"""Scores as text. A score of 0..1 is shown in points of 0..100."""


def format_points(score: float) -> str:
    """A score in points."""
    return f"{100 * score:.1f}"


def format_signed_points(difference: float) -> str:
    """A difference of scores in points, with its sign."""
    return f"{100 * difference:+.1f}"
