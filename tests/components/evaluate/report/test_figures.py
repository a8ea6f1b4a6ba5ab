"""The curves and bars."""

from components.evaluate.report import figures
from components.evaluate.report.models import EvaluatedModel
from kd.detection.scores import Scores


def model(ap50: dict[str, float]) -> EvaluatedModel:
    return EvaluatedModel(Scores(0.0, 0.0, {label: {"ap": 0.0, "ap50": value} for label, value in ap50.items()}), [], [])


def test_of_many_classes_those_with_the_largest_differences_are_shown() -> None:
    many = {f"class {k}": 0.5 for k in range(80)}
    changed = many | {f"class {k}": 0.9 for k in range(40, 40 + figures.MAX_CLASSES)}
    models = {"teacher": model(many), "baseline": model(many), "student": model(changed)}
    assert figures.shown_classes(models) == [f"class {k}" for k in range(40, 40 + figures.MAX_CLASSES)]


def test_the_distillation_figure_is_empty_without_distillation_terms() -> None:
    row = {"epoch": 1.0, "box": 1.0, "objectness": 1.0, "class": 1.0}
    assert not figures.distillation_losses(EvaluatedModel(Scores(0, 0), [], [row]))
    assert "gradient" in figures.distillation_losses(
        EvaluatedModel(Scores(0, 0), [], [row | {"distill_neck_16": 1.0, "gradient_ratio": 0.5}])
    )
