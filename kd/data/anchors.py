"""Anchors: the box shapes that predictions are relative to, and the published ones of COCO."""

Anchors = dict[int, list[tuple[float, float]]]
"""Per stride three (width, height) in pixels of the square input."""

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
