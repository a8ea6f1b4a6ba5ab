"""The result in words."""

from typing import Any, NamedTuple

CLEAR = 0.005
"""Half a point of mAP50: less is called no difference."""


class Verdict(NamedTuple):
    """What distillation did: a headline, and sentences that qualify it."""

    headline: str
    sentences: list[str]


def verdict(metrics: dict[str, Any]) -> Verdict:
    """Put the content of metrics.json into words."""
    if "baseline" not in metrics:
        return _without_baseline(metrics["student"], metrics["teacher"])
    gain, alone, distilled, teacher = (metrics[name] for name in ("gain", "baseline", "student", "teacher"))
    sentences = [
        f"The same small network reaches {points(alone['map50'])} mAP50 when it learns from the labels alone and "
        f"{points(distilled['map50'])} when it also learns from the teacher (mAP {points(alone['map'])} and {points(distilled['map'])}).",
        f"The teacher reaches {points(teacher['map50'])} with {teacher['parameters'] / distilled['parameters']:.1f} times the parameters.",
    ]
    return Verdict(_headline(gain["map50"]), sentences + _gap(gain))


def _without_baseline(distilled: dict[str, Any], teacher: dict[str, Any]) -> Verdict:
    sentences = [
        f"The teacher reaches {points(teacher['map50'])} with {teacher['parameters'] / distilled['parameters']:.1f} times the parameters.",
        "The student alone was not trained, so what distillation gained is not known.",
    ]
    return Verdict(f"The distilled student reaches {points(distilled['map50'])} points of mAP50", sentences)


def points(score: float) -> str:
    """A score of 0..1 in points of 0..100."""
    return f"{100 * score:.1f}"


def _headline(gain: float) -> str:
    if abs(gain) < CLEAR:
        return f"Distillation made no clear difference ({100 * gain:+.1f} points of mAP50)"
    return f"Distillation {'gains' if gain > 0 else 'costs'} {points(abs(gain))} points of mAP50"


def _gap(gain: dict[str, float]) -> list[str]:
    if "gap_closed" not in gain:
        return ["The teacher is no better than the student alone, so there was little to learn from it: train it longer or make it bigger."]
    if gain["map50"] >= CLEAR:
        return [f"That closes {gain['gap_closed']:.0%} of the gap to the teacher."]
    return ["The teacher is better, but the student did not profit: the report shows how hard distillation pulled; change distill.weight."]
