"""The curves and bars of the report, as SVG text without dates or random names: equal data give equal bytes."""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from components.evaluate.report.models import DETECTION_TERMS, TITLES, EvaluatedModel, reference_name
from kd.detection.scores import RECALLS

Models = Mapping[str, EvaluatedModel]
COLORS = {"teacher": "#8a8a8a", "baseline": "#d9822b", "student": "#2b7bd9"}
TAP_COLORS = ("#2b7bd9", "#7ab3ee", "#1f9d76", "#7fcfb2", "#b05fc4")
INK = "#123456"
"""Placeholder for the text color of the page, which differs between light and dark mode."""
MAX_CLASSES = 24
STYLE: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: smaller, and in any script of the reader's fonts
    "text.parse_math": False,  # a class may be called "$5"
}


def learning_curves(models: Models) -> Markup:
    """mAP50 on the val split over the epochs, in points; empty without a val split."""
    scored = {name: [row for row in model.history if "val_map50" in row] for name, model in models.items()}
    if not any(scored.values()):
        return Markup()
    with _axes(1, 6.4, 3.6) as (figure, [axes]):
        for name, rows in scored.items():
            axes.plot([row["epoch"] for row in rows], [100 * row["val_map50"] for row in rows], "o-", ms=3, **_style(name))
        _epoch_axis(axes, ylabel="mAP50")
        axes.legend()
        return _svg(figure, "Learning curves: mAP50 on the val split over the epochs of the trainings")


def detection_losses(models: Models) -> Markup:
    """The terms of the detection loss over the epochs."""
    with _axes(len(DETECTION_TERMS), 9.6, 2.9) as (figure, panels):
        for axes, term in zip(panels, DETECTION_TERMS, strict=True):
            for name, model in models.items():
                trained = [row for row in model.history if row["epoch"]]
                axes.plot([row["epoch"] for row in trained], [row[term] for row in trained], **_style(name))
            _epoch_axis(axes, title=term, ylim=(0, None))
        panels[0].legend()
        return _svg(figure, "Box, objectness and class loss over the epochs of the trainings")


def distillation_losses(student: EvaluatedModel) -> Markup:
    """The terms of the distillation loss and the gradient ratio over the epochs; empty without such terms."""
    history = [row for row in student.history if "gradient_ratio" in row]
    terms = [name for name in (history[0] if history else ()) if name.startswith("distill_")]
    if not terms:
        return Markup()
    epochs = [row["epoch"] for row in history]
    with _axes(2, 6.4, 3.6) as (figure, [left, right]):
        for index, term in enumerate(terms):
            label = term.removeprefix("distill_").replace("_", ", stride ")
            left.plot(epochs, [row[term] for row in history], label=label, color=TAP_COLORS[index % len(TAP_COLORS)])
        _epoch_axis(left, title="distillation terms", ylim=(0, None))
        left.legend()
        right.plot(epochs, [row["gradient_ratio"] for row in history], color=COLORS["student"])
        right.axhline(1, color=INK, linewidth=0.8, linestyle=":")
        _epoch_axis(right, title="gradient ratio", ylim=(0, None))
        return _svg(figure, "Distillation terms of the loss, and the ratio of their gradient to the detection's, over the epochs")


def precision_recall(models: Models) -> Markup:
    """Mean precision over the classes at each recall, at IoU 0.5; empty without labels."""
    curves = {name: model.scores.precision for name, model in models.items() if model.scores.precision}
    if not curves:
        return Markup()
    with _axes(1, 6.4, 3.6) as (figure, [axes]):
        for name, precision in curves.items():
            axes.plot(RECALLS, precision, **_style(name))
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.legend()
        return _svg(figure, "Precision over recall at IoU 0.5 of the models")


def shown_classes(models: Models) -> list[str]:
    """The classes of the bars: all with objects or, if there are many, those with the largest differences; in order."""
    reference, student = (models[name].scores.per_class for name in (reference_name(models), "student"))
    changed = sorted(reference, key=lambda label: -abs(student[label]["ap50"] - reference[label]["ap50"]))[:MAX_CLASSES]
    return [label for label in reference if label in changed]


def per_class(models: Models) -> Markup:
    """AP at IoU 0.5 of the shown classes, in points; empty without labels."""
    classes = shown_classes(models)
    if not classes:
        return Markup()
    with _axes(1, 6.4, 1 + 0.42 * max(len(classes), 3)) as (figure, [axes]):
        for index, (name, model) in enumerate(models.items()):
            positions = [k + 0.27 * (index - 1) for k in range(len(classes))]
            axes.barh(positions, [100 * model.scores.per_class[label]["ap50"] for label in classes], height=0.25, **_style(name))
        axes.set_yticks(range(len(classes)), [_shorten(label) for label in classes])
        axes.set(xlim=(0, 100), xlabel="AP50")
        axes.invert_yaxis()
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        return _svg(figure, "Average precision at IoU 0.5 of each class and model")


def _epoch_axis(axes: Axes, **settings: Any) -> None:
    axes.set(xlabel="epoch", **settings)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _shorten(name: str) -> str:
    return name if len(name) <= 28 else name[:27] + "…"


def _style(name: str) -> dict[str, Any]:
    return {"color": COLORS[name], "label": TITLES[name]}


@contextmanager
def _axes(panels: int, width: float, height: float) -> Iterator[tuple[Figure, list[Axes]]]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _svg(figure: Figure, description: str) -> Markup:
    """The figure for a page with several figures: without the ids of groups, which would not be unique."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": description}):
        figure.savefig(text, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = text.getvalue()
    svg = re.sub(r'<g id="[^"]*"', "<g", svg[svg.index("<svg") :]).replace(INK, "currentColor")
    return Markup('<div class="chart" role="img" aria-label="{}">{}</div>').format(escape(description), Markup(svg))
