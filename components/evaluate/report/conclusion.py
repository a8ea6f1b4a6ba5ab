"""The result of a distillation in words."""

from typing import Any, NamedTuple

from components.evaluate.points import format_points, format_signed_points

MIN_DIFFERENCE = 0.005
"""Half a point of mAP50; a smaller difference is reported as none."""


class Conclusion(NamedTuple):
    """A headline, and the sentences below it."""

    headline: str
    sentences: list[str]


def conclude(metrics: dict[str, Any], init: str = "", unlabelled: int = 0) -> Conclusion:
    """Describe the content of metrics.json.

    Args:
        metrics: the content.
        init: what baseline and student started from; "" for random weights.
        unlabelled: number of pictures without labels that the student learned from.
    """
    if "baseline" not in metrics:
        return _without_baseline(metrics["student"], metrics["teacher"], unlabelled)
    gain, baseline, student, teacher = (metrics[name] for name in ("gain", "baseline", "student", "teacher"))
    sentences = [
        f"The same small network reaches {format_points(baseline['map50'])} mAP50 when it is trained with labels only (the baseline) and "
        f"{format_points(student['map50'])} when it is also distilled from the teacher "
        f"(mAP {format_points(baseline['map'])} and {format_points(student['map'])}).",
        _teacher_sentence(student, teacher),
    ]
    if unlabelled:
        sentences.append(f"{_unlabelled_sentence(unlabelled)} The baseline never saw them.")
    if init:
        sentences.append(f"Both started from {init}, so this is the gain of this round only.")
    return Conclusion(_headline(gain["map50"]), [*sentences, _gap_sentence(gain)])


def _without_baseline(student: dict[str, Any], teacher: dict[str, Any], unlabelled: int) -> Conclusion:
    sentences = [_teacher_sentence(student, teacher), "The baseline was not trained, so the gain of the distillation is not known."]
    if unlabelled:
        sentences.append(_unlabelled_sentence(unlabelled))
    return Conclusion(f"The distilled student reaches {format_points(student['map50'])} points of mAP50", sentences)


def _teacher_sentence(student: dict[str, Any], teacher: dict[str, Any]) -> str:
    ratio = teacher["parameters"] / student["parameters"]
    return f"The teacher reaches {format_points(teacher['map50'])} with {ratio:.1f} times the parameters."


def _unlabelled_sentence(pictures: int) -> str:
    return f"The distilled student also learned from the teacher on {pictures} picture{'s' if pictures > 1 else ''} without labels."


def _headline(gain: float) -> str:
    if abs(gain) < MIN_DIFFERENCE:
        return f"Distillation made no clear difference ({format_signed_points(gain)} points of mAP50)"
    return f"Distillation {'gains' if gain > 0 else 'costs'} {format_points(abs(gain))} points of mAP50"


def _gap_sentence(gain: dict[str, float]) -> str:
    if "gap_closed" not in gain:
        return "The teacher is not better than the baseline, so the student can learn little from it: train it longer or enlarge it."
    if gain["map50"] >= MIN_DIFFERENCE:
        return f"That closes {gain['gap_closed']:.0%} of the gap to the teacher."
    return "The teacher is better, but the student did not benefit: the report shows the gradient ratio; change distill.weight."
