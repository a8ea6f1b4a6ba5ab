import numpy as np
import pytest
import torch
from PIL import Image

from kd.data.draw import class_color, draw, draw_boxes
from kd.detection.decode import Detections

BOX = (40.0, 50.0, 120.0, 90.0)


def changed(before: Image.Image, after: Image.Image) -> np.ndarray:
    return (np.asarray(before) != np.asarray(after)).any(axis=-1)


@pytest.mark.parametrize("label", range(12))
@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (128, 128, 128), None])
def test_a_box_is_visible_on_any_background(label: int, background: tuple[int, int, int] | None) -> None:
    image = Image.new("RGB", (160, 120), background or class_color(label))
    drawn = np.asarray(draw_boxes(image, [(BOX, label, "")])).astype(int)
    column = drawn[80, 30:50]  # across the left edge
    assert np.abs(column - np.asarray(image)[0, 0]).sum(axis=1).max() > 150


def test_the_inside_of_a_box_and_the_original_stay_unchanged() -> None:
    image = Image.new("RGB", (160, 120), "grey")
    drawn = draw_boxes(image, [(BOX, 0, "cat")])
    assert not changed(image, drawn)[56:84, 46:114].any()
    assert image.getcolors() == [(160 * 120, (128, 128, 128))]


def test_colors_of_classes_are_distinguishable() -> None:
    colors = np.array([class_color(label) for label in range(20)]).astype(int)
    distance = np.abs(colors[:, None] - colors[None]).sum(axis=-1) + 1000 * np.eye(20, dtype=int)
    assert distance.min() > 40


def test_captions_stay_inside_the_picture() -> None:
    image = Image.new("RGB", (160, 120))
    for box in ((0.0, 0.0, 30.0, 30.0), (150.0, 100.0, 160.0, 120.0)):
        with_caption, without = draw_boxes(image, [(box, 2, "a name")]), draw_boxes(image, [(box, 2, "")])
        assert changed(with_caption, without).sum() > 300


def test_lines_grow_with_the_picture() -> None:
    def thickness(side: int) -> int:
        image = Image.new("RGB", (side, side))
        drawn = draw_boxes(image, [((side * 0.25, side * 0.25, side * 0.75, side * 0.75), 0, "")])
        return int(changed(image, drawn)[side // 2, : side // 2].sum())

    assert thickness(2400) >= 2 * thickness(300)


def test_detections_are_drawn_with_the_best_on_top() -> None:
    found = Detections(torch.tensor([BOX, BOX]), torch.tensor([0.9, 0.3]), torch.tensor([0, 1]))
    drawn = draw(Image.new("L", (160, 120)), found, ("cat", "dog"))
    assert drawn.getpixel((40, 80)) == class_color(0)
    assert draw(drawn, Detections(torch.empty(0, 4), torch.empty(0), torch.empty(0, dtype=torch.int64)), ()) == drawn
