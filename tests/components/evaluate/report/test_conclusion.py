"""The result in words."""

from typing import Any

import pytest

from components.evaluate.report.conclusion import conclude


def scores_of(teacher: float, baseline: float, distilled: float) -> dict[str, Any]:
    scores = {"teacher": teacher, "baseline": baseline, "student": distilled}
    gap = {"gap_closed": (distilled - baseline) / (teacher - baseline)} if teacher > baseline else {}
    models = {name: {"map50": value, "map": value / 2, "parameters": 100} for name, value in scores.items()}
    return models | {"gain": {"map50": distilled - baseline, "map": (distilled - baseline) / 2} | gap}


@pytest.mark.parametrize(
    ("scores", "headline", "last"),
    [
        ((0.9, 0.5, 0.6), "Distillation gains 10.0 points of mAP50", "That closes 25% of the gap"),
        ((0.9, 0.5, 0.45), "Distillation costs 5.0 points of mAP50", "the student did not benefit"),
        ((0.9, 0.5, 0.502), "Distillation made no clear difference (+0.2", "the student did not benefit"),
        ((0.4, 0.5, 0.6), "Distillation gains 10.0 points of mAP50", "The teacher is not better than the baseline"),
    ],
)
def test_the_conclusion(scores: tuple[float, float, float], headline: str, last: str) -> None:
    result = conclude(scores_of(*scores))
    assert result.headline.startswith(headline)
    assert last in result.sentences[-1]


def test_the_gain_over_initial_weights_is_that_of_one_round() -> None:
    sentence = "Both started from models:/kdflow-student/3, so this is the gain of this round only."
    assert sentence in conclude(scores_of(0.9, 0.5, 0.6), "models:/kdflow-student/3").sentences
    assert not any("round" in sentence for sentence in conclude(scores_of(0.9, 0.5, 0.6)).sentences)


def test_the_baseline_never_saw_the_pictures_without_labels() -> None:
    sentences = conclude(scores_of(0.9, 0.5, 0.6), unlabelled=7).sentences
    told = "The distilled student also learned from the teacher on 7 pictures without labels. The baseline never saw them."
    assert told in sentences and not any("without labels" in sentence for sentence in conclude(scores_of(0.9, 0.5, 0.6)).sentences)
    alone = {name: scores for name, scores in scores_of(0.9, 0.5, 0.6).items() if name in ("teacher", "student")}
    assert conclude(alone, unlabelled=1).sentences[-1].endswith("on 1 picture without labels.")
