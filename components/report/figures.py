"""The report's curves and bars, as SVG text. No dates, no random names: equal data give equal bytes."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kd.detection.scores import RECALLS, Scores

History = list[dict[str, str]]
COLOURS = {"Teacher": "#7a7a7a", "Student alone": "#d9822b", "Student distilled": "#2b7bd9"}
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "kdflow",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "text.color": "#777",
    "axes.labelcolor": "#777",
    "xtick.color": "#777",
    "ytick.color": "#777",
    "axes.edgecolor": "#999",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def learning_curves(histories: Mapping[str, History]) -> Markup:
    """mAP50 on the val split over the epochs, in points."""
    with _figure() as (figure, axes):
        for title, history in histories.items():
            scored = [row for row in history if row.get("val_map50")]
            axes.plot([float(r["epoch"]) for r in scored], [100 * float(r["val_map50"]) for r in scored], "o-", ms=3, **_look(title))
        _finish(axes, "epoch", "mAP50 on val")
        return _svg(figure, "Learning curves: mAP50 on the val split over the epochs")


def losses(histories: Mapping[str, History]) -> Markup:
    """The detection loss of all, and the distillation's, over the epochs."""
    with _figure() as (figure, axes):
        for title, history in histories.items():
            epochs = [float(row["epoch"]) for row in history]
            axes.plot(epochs, [sum(float(row[t]) for t in ("box", "objectness", "class")) for row in history], **_look(title))
            taught = [sum(float(v) for k, v in row.items() if k.startswith("distill_")) for row in history]
            if any(taught):
                axes.plot(epochs, taught, "--", color=COLOURS[title], label="its distillation terms")
        _finish(axes, "epoch", "loss")
        return _svg(figure, "Loss over the epochs")


def precision_recall(scores: Mapping[str, Scores]) -> Markup:
    """Mean precision over the classes at each recall, at IoU 0.5."""
    with _figure() as (figure, axes):
        for title, score in scores.items():
            if score.precision:
                axes.plot(RECALLS, score.precision, **_look(title))
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        _finish(axes, "recall", "precision")
        return _svg(figure, "Precision over recall at IoU 0.5")


def per_class(scores: Mapping[str, Scores]) -> Markup:
    """AP at IoU 0.5 of every class, in points."""
    classes = list(dict.fromkeys(name for score in scores.values() for name in score.per_class))
    with _figure() as (figure, axes):
        for index, (title, score) in enumerate(scores.items()):
            values = [100 * score.per_class.get(name, {}).get("ap50", 0.0) for name in classes]
            axes.bar([k + 0.27 * (index - 1) for k in range(len(classes))], values, width=0.25, color=COLOURS[title], label=title)
        axes.set_xticks(range(len(classes)), classes, rotation=30 if len(classes) > 6 else 0, parse_math=False)
        _finish(axes, "", "AP50")
        return _svg(figure, "Average precision of each class at IoU 0.5")


def _look(title: str) -> dict[str, Any]:
    return {"color": COLOURS[title], "label": title}


@contextmanager
def _figure() -> Iterator[tuple[Figure, Axes]]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        yield figure, figure.subplots()


def _finish(axes: Axes, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _svg(figure: Figure, alternative: str) -> Markup:
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return Markup(f'<div role="img" aria-label="{alternative}">') + Markup(svg[svg.index("<svg") :]) + Markup("</div>")
