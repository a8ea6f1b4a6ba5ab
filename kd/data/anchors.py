"""Anchors: the box shapes that predictions are relative to, and the published ones of COCO."""

Anchors = dict[int, list[tuple[float, float]]]
"""Per stride three (width, height) in pixels of the square input."""


def anchor_overlap(anchors: Anchors, others: Anchors) -> float:
    """How well `others` cover the shapes of `anchors`: the mean IoU, 0..1, of each with the best of all others, centered."""

    def iou(one: tuple[float, float], other: tuple[float, float]) -> float:
        intersection = min(one[0], other[0]) * min(one[1], other[1])
        return intersection / (one[0] * one[1] + other[0] * other[1] - intersection)

    shapes, candidates = ([shape for group in groups.values() for shape in group] for groups in (anchors, others))
    return sum(max(iou(shape, candidate) for candidate in candidates) for shape in shapes) / len(shapes)


COCO_ANCHORS: dict[str, Anchors] = {
    "yolov3": {
        8: [(10, 13), (16, 30), (33, 23)],
        16: [(30, 61), (62, 45), (59, 119)],
        32: [(116, 90), (156, 198), (373, 326)],
    },
    # yolov3-tiny.cfg says mask = 0,1,2 for stride 16, but the released weights were trained with 1,2,3.
    "yolov3-tiny": {
        16: [(23, 27), (37, 58), (81, 82)],
        32: [(81, 82), (135, 169), (344, 319)],
    },
}
"""The anchors that the released COCO weights were trained with, at 416 pixels."""

TINY_CFG_ANCHORS: Anchors = {16: [(10, 14), (23, 27), (37, 58)], 32: [(81, 82), (135, 169), (344, 319)]}
"""The anchors in yolov3-tiny.cfg, right for networks that were trained with that file; at 416 pixels."""
