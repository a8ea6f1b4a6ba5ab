from kd.data.anchors import COCO_ANCHORS, TINY_CFG_ANCHORS, anchor_overlap


def test_the_overlap_is_that_of_the_best_anchor_at_any_stride() -> None:
    assert anchor_overlap(COCO_ANCHORS["yolov3"], COCO_ANCHORS["yolov3"]) == 1
    assert anchor_overlap({16: [(4, 2)]}, {32: [(2, 4), (1, 1)], 8: [(2, 2)]}) == 0.5  # IoU 1/3, 1/8 and 1/2
    assert 0.5 < anchor_overlap(TINY_CFG_ANCHORS, COCO_ANCHORS["yolov3-tiny"]) < 1
