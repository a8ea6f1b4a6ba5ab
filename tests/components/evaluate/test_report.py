"""The report: what it says, that it is self-contained, and that the user's names cannot break it."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from components.evaluate.report import figures
from components.evaluate.report.conclusion import conclude
from components.evaluate.report.examples import choose_examples, evenly_spaced, f1_score
from components.evaluate.report.map_overlays import MAX_IMPORTANCE, overlay
from components.evaluate.report.models import EvaluatedModel
from components.evaluate.step import evaluate
from components.params.models import Params
from kd.data.dataset import DetectionData
from kd.detection.decode import Detections
from kd.detection.scores import Scores
from kd.errors import InputError
from pipeline.results import results_table
from tests.components.trained import CLASSES, SIDE, write_outputs

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Collects the tags, checks that they are closed in order, and keeps the attributes that could load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def report(tmp_path: Path, params_with: Callable[..., Params], run: Any) -> Callable[..., str]:
    """The report's text for given classes and changed parameters."""

    def rendered(classes: list[str] = CLASSES, *changes: str) -> str:
        output = tmp_path / "evaluated"
        output.mkdir()
        evaluate(params_with("evaluate.pictures=3", *changes), run, **write_outputs(tmp_path, classes), output=output)
        return (output / "report.html").read_text()

    return rendered


def test_it_is_self_contained(report: Callable[..., str]) -> None:
    text = report()
    page = Page(text)
    assert not page.open and not page.all("script") and not page.all("link")
    sources = [value or "" for _, attributes in page.tags for name, value in attributes.items() if name in {"src", "href", "xlink:href"}]
    assert sources and all(source.startswith(("data:image/", "#")) for source in sources)
    assert not re.findall(r"url\((?!#)|@import", text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(source in ids for source in (s[1:] for s in sources if s.startswith("#")))


def test_pictures_are_described(report: Callable[..., str]) -> None:
    page = Page(report())
    assert all(image["alt"] for image in page.all("img"))
    assert len([image for image in page.all("img") if "Test picture" in str(image["alt"])]) == 3 * 4
    assert len(page.all("img")) == 3 * 4 + 4 * 7, "and four training pictures with their maps at six taps"
    charts = [tag for tag in page.all("div") if tag.get("role") == "img"]
    assert len(charts) == len(page.all("svg")) == 5 and all(chart["aria-label"] for chart in charts)


def test_names_are_escaped(report: Callable[..., str]) -> None:
    text = report(["<script>", "$a_b$ & 'c'", "猫"])
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "$a_b$ &amp; 'c'" in text, "not taken for a formula"
    assert not Page(text).all("script")


def test_it_shows_what_is_doubtful_about_the_data(report: Callable[..., str]) -> None:
    assert "<li>4 &lt;things&gt; are odd (a, b, c, ...); look at them</li>" in report()


def test_it_shows_what_shapes_the_scores_and_nothing_else(report: Callable[..., str]) -> None:
    text = report(CLASSES, "data.path=some/where", "register_model.name=famous", "distill.weight=3.25")
    assert "distill.weight" in text and "3.25" in text
    assert "some/where" not in text and "famous" not in text, "evaluate does not run again when these change"


def test_maps_of_other_data_are_refused(tmp_path: Path, params_with: Callable[..., Params], run: Any) -> None:
    places = write_outputs(tmp_path)
    index = places["maps"] / "index.json"
    index.write_text(index.read_text().replace('"pictures": 5', '"pictures": 6'))
    with pytest.raises(InputError, match="holds maps of 6 pictures"):
        evaluate(params_with(), run, **places, output=tmp_path)


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


def test_without_a_baseline_the_teacher_is_the_measure_and_no_gain_is_claimed(
    tmp_path: Path, params_with: Callable[..., Params], run: Any
) -> None:
    places: dict[str, Any] = write_outputs(tmp_path) | {"baseline": None}
    output = tmp_path / "evaluated"
    output.mkdir()
    evaluate(params_with("evaluate.pictures=3"), run, **places, output=output)
    text, metrics = (output / "report.html").read_text(), json.loads((output / "metrics.json").read_text())
    assert set(metrics) == {"teacher", "student"}
    assert "Baseline</th>" not in text and "baseline was not trained" in text and "Distillation gains" not in text
    assert "Distilled student is better than teacher on" in text
    assert {"teacher", "student"} == {row.split(",")[0] for row in (output / "losses.csv").read_text().splitlines()[1:]}
    assert conclude(metrics).headline == f"The distilled student reaches {100 * metrics['student']['map50']:.1f} points of mAP50"
    results_table(metrics, {"teacher": 1.0, "student": 1.0})


def test_f1_matches_each_object_once() -> None:
    boxes, labels = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]]), torch.tensor([0, 1])
    twice = Detections(torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]]), torch.ones(3), torch.tensor([0, 0, 0]))
    assert f1_score(twice, boxes, labels) == pytest.approx(2 * 1 / 5), "a second box on an object and a box of another class hit nothing"
    assert f1_score(Detections(boxes, torch.ones(2), labels), boxes, labels) == 1
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    assert f1_score(nothing, boxes, labels) == 0
    assert f1_score(nothing, boxes[:0], labels[:0]) == 1


def test_examples_are_those_that_changed(tmp_path: Path) -> None:
    test = DetectionData(write_outputs(tmp_path)["data"] / "test", SIDE)  # the first picture has no object, each other one two
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    everything = [Detections(boxes, torch.ones(len(boxes)), labels) for boxes, labels in map(test.objects, range(len(test)))]
    unsure = everything[1]._replace(scores=torch.tensor([0.2, 0.9]))
    baseline = [nothing, nothing, everything[2], nothing, nothing, everything[5]]
    distilled = [nothing, unsure, nothing, everything[3], nothing, everything[5]]
    models = {"teacher": everything, "baseline": baseline, "student": distilled}
    models = {name: EvaluatedModel(Scores(0, 0), found, []) for name, found in models.items()}
    for count, names in ((1, "4"), (2, "43"), (3, "423"), (4, "4213")):
        shown = choose_examples(test, models, count)
        assert [example.name for example in shown.examples] == [f"{name}.png" for name in names]
    assert shown[1:] == (2, 1, 3)
    assert shown.examples[1].f1 == (0.0, pytest.approx(2 / 3)), "a box that is not shown does not count"


@pytest.mark.parametrize(
    ("length", "count", "chosen"), [(9, 3, [0, 4, 8]), (3, 5, [0, 1, 2]), (4, 1, [0]), (0, 2, []), (3, 0, []), (6, 4, [0, 2, 3, 5])]
)
def test_examples_are_evenly_spaced(length: int, count: int, chosen: list[int]) -> None:
    assert evenly_spaced(list(range(length)), count) == chosen


def test_a_map_lies_over_its_picture() -> None:
    importance = torch.tensor([[0.0, 0.0], [0.0, MAX_IMPORTANCE]])
    mixed = overlay(Image.new("RGB", (20, 20), "grey"), importance)
    brightness = mixed.convert("L")
    assert brightness.getpixel((15, 15)) > 150 > 70 > brightness.getpixel((5, 15)) == brightness.getpixel((15, 5))


def model(ap50: dict[str, float]) -> EvaluatedModel:
    return EvaluatedModel(Scores(0.0, 0.0, {label: {"ap": 0.0, "ap50": value} for label, value in ap50.items()}), [], [])


def test_of_many_classes_the_most_changed_have_bars() -> None:
    many = {f"class {k}": 0.5 for k in range(80)}
    changed = many | {f"class {k}": 0.9 for k in range(40, 40 + figures.MAX_CLASSES)}
    models = {"teacher": model(many), "baseline": model(many), "student": model(changed)}
    assert figures.shown_classes(models) == [f"class {k}" for k in range(40, 40 + figures.MAX_CLASSES)]


def test_the_distillation_figure_needs_a_distillation() -> None:
    row = {"epoch": 1.0, "box": 1.0, "objectness": 1.0, "class": 1.0}
    assert not figures.distillation_losses(EvaluatedModel(Scores(0, 0), [], [row]))
    assert "gradient" in figures.distillation_losses(
        EvaluatedModel(Scores(0, 0), [], [row | {"distill_neck_16": 1.0, "gradient_ratio": 0.5}])
    )
