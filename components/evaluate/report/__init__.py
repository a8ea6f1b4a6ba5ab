"""The report: one self-contained HTML file that shows what the student gained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from components.evaluate.points import format_points
from components.evaluate.report import figures
from components.evaluate.report.conclusion import conclude
from components.evaluate.report.examples import MIN_SCORE, choose_examples
from components.evaluate.report.map_overlays import map_overlays
from components.evaluate.report.models import TITLES, EvaluatedModel, reference_name
from components.params.models import Params
from kd.data.dataset import UNLABELLED, DetectionData


def write_report(
    path: Path,
    models: Mapping[str, EvaluatedModel],
    metrics: dict[str, Any],
    summary: dict[str, Any],
    params: Params,
    splits: tuple[DetectionData, DetectionData],
    maps: Path,
    init: str = "",
) -> None:
    """Write the report to `path`; equal inputs give equal bytes.

    Args:
        path: the HTML file.
        models: by name, as in `TITLES`.
        metrics: content of metrics.json.
        summary: content of the summary.json of prepare_data.
        params: parameters; the report shows those that the models and their scores depend on.
        splits: the training split, whose maps are shown, and the test split.
        maps: output of compute_info_maps.
        init: the student's initial weights; "" for random weights.

    Raises:
        InputError: if a picture cannot be read, or the maps do not fit the training split.
    """
    train, test = splits
    unlabelled = summary["splits"].get(UNLABELLED, {}).get("pictures", 0)
    parameters = params.flat(exclude={"compose_scenes", "data", "register_model"})
    if not unlabelled:
        del parameters["distill.unlabelled"]
    template = _environment().get_template("template.html")
    html = template.render(
        titles={name: TITLES[name] for name in models},
        reference=TITLES[reference_name(models)],
        conclusion=conclude(metrics, init, unlabelled if params.distill.unlabelled else 0),
        metrics=metrics,
        summary=summary,
        parameters=parameters,
        charts=_charts(models),
        listed_classes=len(figures.shown_classes(models)),
        examples=choose_examples(test, models, params.evaluate.pictures),
        min_score=MIN_SCORE,
        classes=len(models["student"].scores.per_class),
        maps=map_overlays(train, maps, unlabelled),
    )
    path.write_text(html, encoding="utf-8")


def _charts(models: Mapping[str, EvaluatedModel]) -> dict[str, Markup]:
    return {
        "learning": figures.learning_curves(models),
        "losses": figures.detection_losses(models),
        "distillation": figures.distillation_losses(models["student"]),
        "precision": figures.precision_recall(models),
        "classes": figures.per_class(models),
    }


def _environment() -> Environment:
    # class names and file names come from the user, so everything is escaped
    loader = PackageLoader("components.evaluate.report", ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["points"] = format_points
    return environment
