import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import nms

from kd.detection.decode import PriorCache, candidate_priors, decode_boxes, flatten_heads, postprocess

ANCHORS = {8: [(10.0, 13.0), (16.0, 30.0), (33.0, 23.0)], 16: [(30.0, 61.0), (62.0, 45.0), (59.0, 119.0)]}
CLASSES = 3


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def random_heads() -> dict[int, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return {stride: torch.randn(2, 3 * (5 + CLASSES), 32 // stride, 32 // stride, generator=rng) for stride in (16, 8)}


def test_every_candidate_matches_the_formula_of_the_paper() -> None:
    heads = random_heads()
    boxes, scores = decode_boxes(heads, ANCHORS)
    assert boxes.shape == (2, 3 * 20, 4) and scores.shape == (2, 3 * 20, CLASSES)
    index = 0
    for stride in (8, 16):
        for anchor, (width, height) in enumerate(ANCHORS[stride]):
            for row in range(32 // stride):
                for column in range(32 // stride):
                    tx, ty, tw, th, obj, *classes = heads[stride][1, 8 * anchor : 8 * anchor + 8, row, column].tolist()
                    x, y = (sigmoid(tx) + column) * stride, (sigmoid(ty) + row) * stride
                    w, h = width * math.exp(tw), height * math.exp(th)
                    assert boxes[1, index].tolist() == pytest.approx([x - w / 2, y - h / 2, x + w / 2, y + h / 2], rel=1e-4, abs=1e-3)
                    assert scores[1, index].tolist() == pytest.approx([sigmoid(obj) * sigmoid(c) for c in classes], rel=1e-4)
                    index += 1


def test_priors_are_kept_for_each_size_of_the_heads() -> None:
    anchors = {16: [(1.0, 2.0)] * 3, 32: [(3.0, 4.0)] * 3}
    priors = PriorCache(anchors)
    for side in (64, 96, 64):
        heads = {stride: torch.zeros(1, 18, side // stride, side // stride) for stride in (32, 16)}
        found = priors.get(heads)
        assert torch.equal(found, candidate_priors(anchors, side)) and torch.equal(found, flatten_heads(heads, anchors).priors)
        assert priors.get(heads) is found


def test_candidates_are_in_the_order_of_the_strides() -> None:
    heads = random_heads()
    found = flatten_heads(heads, ANCHORS)
    assert torch.equal(found.objectness[:, 48:60], heads[16].view(2, 3, 8, 4)[:, :, 4].flatten(1))


def test_memory_format_and_half_precision_give_the_same_boxes() -> None:
    heads = random_heads()
    expected, _ = decode_boxes(heads, ANCHORS)
    torch.testing.assert_close(decode_boxes({s: h.to(memory_format=torch.channels_last) for s, h in heads.items()}, ANCHORS)[0], expected)
    half, _ = decode_boxes({s: h.half() for s, h in heads.items()}, ANCHORS)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, expected, rtol=1e-2, atol=0.1)


def test_extreme_predictions_stay_finite() -> None:
    boxes, scores = decode_boxes({stride: head * 1e4 for stride, head in random_heads().items()}, ANCHORS)
    assert boxes.isfinite().all() and scores.isfinite().all()


@pytest.mark.parametrize("seed", range(20))
def test_non_maximum_suppression_is_applied_per_class(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    corner = torch.rand(60, 2, generator=rng) * 120 - 40  # some boxes start left of or above the picture
    boxes = torch.cat([corner, corner + 20 + torch.rand(60, 2, generator=rng) * 40], dim=1)
    scores = torch.rand(60, CLASSES, generator=rng)
    found = postprocess(boxes, scores, confidence=0.3, nms_iou=0.4, max_detections=1000)
    expected = set()
    for label in range(CLASSES):
        confident = (scores[:, label] > 0.3).nonzero().flatten()
        expected |= {(int(confident[k]), label) for k in nms(boxes[confident], scores[confident, label], 0.4)}
    chosen = {((boxes == box).all(dim=1).nonzero().item(), int(label)) for box, label in zip(found.boxes, found.labels, strict=True)}
    assert chosen == expected and len(found.scores) == len(expected)
    assert torch.equal(found.scores, found.scores.sort(descending=True).values)


def test_classes_do_not_suppress_each_other_at_negative_coordinates() -> None:
    boxes = torch.tensor([[60.0, 60.0, 100.0, 100.0], [-41.0, -41.0, -1.0, -1.0]])
    assert len(postprocess(boxes, torch.tensor([[0.9, 0.0], [0.0, 0.8]]), 0.1, 0.5, 10).scores) == 2


def test_one_box_may_be_detected_as_several_classes() -> None:
    found = postprocess(torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([[0.9, 0.2, 0.6]]), 0.25, 0.5, 10)
    assert found.labels.tolist() == [0, 2] and found.boxes.shape == (2, 4)


def test_the_best_detections_are_kept() -> None:
    boxes = torch.arange(10.0)[:, None] * 100 + torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    scores = torch.linspace(0.1, 0.9, 10)[:, None]
    assert torch.equal(postprocess(boxes, scores, 0.0, 0.5, max_detections=3).scores, scores[:, 0].flip(0)[:3])
    assert torch.equal(postprocess(boxes, scores, 0.0, 0.5, max_detections=10, max_candidates=2).scores, scores[:, 0].flip(0)[:2])
    assert len(postprocess(boxes, scores, 0.9, 0.5, max_detections=3).scores) == 0  # the lower bound is exclusive


def test_low_scores_give_no_detections() -> None:
    found = postprocess(torch.rand(5, 4), torch.zeros(5, CLASSES), 0.1, 0.5, 10)
    assert found.boxes.shape == (0, 4) and found.scores.shape == found.labels.shape == (0,)
