"""Information maps over pictures."""

import torch
from PIL import Image

from components.evaluate.report.map_overlays import MAX_IMPORTANCE, overlay


def test_a_bright_cell_of_a_map_brightens_its_part_of_the_picture() -> None:
    importance = torch.tensor([[0.0, 0.0], [0.0, MAX_IMPORTANCE]])
    mixed = overlay(Image.new("RGB", (20, 20), "grey"), importance)
    brightness = mixed.convert("L")
    assert brightness.getpixel((15, 15)) > 150 > 70 > brightness.getpixel((5, 15)) == brightness.getpixel((15, 5))
