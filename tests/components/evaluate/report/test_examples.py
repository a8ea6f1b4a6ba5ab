"""The choice of test pictures."""

from pathlib import Path

import pytest
import torch

from components.evaluate.report.examples import choose_examples, evenly_spaced, f1_score
from components.evaluate.report.models import EvaluatedModel
from kd.data.dataset import DetectionData
from kd.detection.decode import Detections
from kd.detection.scores import Scores
from tests.components.trained import SIDE, write_outputs


def test_f1_matches_each_object_once() -> None:
    boxes, labels = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]]), torch.tensor([0, 1])
    twice = Detections(torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]]), torch.ones(3), torch.tensor([0, 0, 0]))
    assert f1_score(twice, boxes, labels) == pytest.approx(2 * 1 / 5), "a second box on an object and a box of another class match nothing"
    assert f1_score(Detections(boxes, torch.ones(2), labels), boxes, labels) == 1
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    assert f1_score(nothing, boxes, labels) == 0
    assert f1_score(nothing, boxes[:0], labels[:0]) == 1


def test_pictures_with_a_different_score_are_preferred(tmp_path: Path) -> None:
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
