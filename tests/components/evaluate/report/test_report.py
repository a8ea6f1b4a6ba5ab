"""The report is complete and self-contained, and names of the user cannot break it."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from components.evaluate.report.conclusion import conclude
from components.evaluate.step import evaluate
from components.params.models import Params
from kd.errors import InputError
from tests.components.trained import CLASSES, write_outputs

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


def test_pictures_and_charts_have_a_text_alternative(report: Callable[..., str]) -> None:
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


def test_only_parameters_that_the_scores_depend_on_are_shown(report: Callable[..., str]) -> None:
    text = report(CLASSES, "data.path=some/where", "register_model.name=famous", "distill.weight=3.25")
    assert "distill.weight" in text and "3.25" in text
    assert "some/where" not in text and "famous" not in text, "evaluate does not run again when these change"


def test_maps_of_other_data_are_refused(tmp_path: Path, params_with: Callable[..., Params], run: Any) -> None:
    outputs = write_outputs(tmp_path)
    index = outputs["maps"] / "index.json"
    index.write_text(index.read_text().replace('"pictures": 5', '"pictures": 6'))
    with pytest.raises(InputError, match="holds maps of 6 pictures"):
        evaluate(params_with(), run, **outputs, output=tmp_path)


def test_without_a_baseline_the_teacher_is_the_reference_and_no_gain_is_reported(
    tmp_path: Path, params_with: Callable[..., Params], run: Any
) -> None:
    outputs: dict[str, Any] = write_outputs(tmp_path) | {"baseline": None}
    output = tmp_path / "evaluated"
    output.mkdir()
    evaluate(params_with("evaluate.pictures=3"), run, **outputs, output=output)
    text, metrics = (output / "report.html").read_text(), json.loads((output / "metrics.json").read_text())
    assert set(metrics) == {"teacher", "student"}
    assert "Baseline</th>" not in text and "baseline was not trained" in text and "Distillation gains" not in text
    assert "Distilled student is better than teacher on" in text
    assert {"teacher", "student"} == {row.split(",")[0] for row in (output / "losses.csv").read_text().splitlines()[1:]}
    assert conclude(metrics).headline == f"The distilled student reaches {100 * metrics['student']['map50']:.1f} points of mAP50"
