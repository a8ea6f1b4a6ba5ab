"""The report: one HTML file that shows what the student gained, with everything it needs inside."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from components.params import Params
from components.report import figures, pictures
from kd.data.dataset import DetectionData
from kd.detection.decode import Detections
from kd.detection.scores import Scores
from kd.model.build import Network

TITLES = {"teacher": "Teacher", "baseline": "Student alone", "student": "Student distilled"}


@dataclass(frozen=True)
class Contestant:
    """One model in the comparison: the network, its scores, its finds on each test picture, its history (rows of history.csv)."""

    network: Network
    scores: Scores
    found: list[Detections]
    history: list[dict[str, str]]


def write_report(
    path: Path,
    contestants: dict[str, Contestant],
    metrics: dict[str, Any],
    summary: dict[str, Any],
    params: Params,
    test: DetectionData,
    train: Path,
    maps: Path,
) -> None:
    """Write the report to `path`; equal inputs give equal bytes.

    Args:
        path: the HTML file.
        contestants: by name, as in `TITLES`.
        metrics: content of metrics.json.
        summary: content of prepare_data's summary.json.
        params: shown at the end.
        test: the pictures that were scored.
        train: folder of the training split, whose information maps are shown.
        maps: folder of the step compute_info_maps.
    """
    histories = {TITLES[name]: contestant.history for name, contestant in contestants.items()}
    scores = {TITLES[name]: contestant.scores for name, contestant in contestants.items()}
    found = {TITLES[name]: contestant.found for name, contestant in contestants.items()}
    environment = Environment(loader=PackageLoader("components.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    html = environment.get_template("template.html").render(
        titles=TITLES,
        metrics=metrics,
        summary=summary,
        params=params.model_dump(exclude={"compose_scenes", "register_model"}),
        curves=figures.learning_curves(histories),
        losses=figures.losses(histories),
        precision=figures.precision_recall(scores),
        per_class=figures.per_class(scores),
        examples=pictures.examples(test, found, params.evaluate.pictures),
        maps=pictures.map_examples(DetectionData(train, params.data.image_size), maps, count=4),
    )
    path.write_text(html, encoding="utf-8")
