"""Multi-scale training: which sizes are drawn, what is resized, and that a training with it is reproducible."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kd.data.augment import AugmentConfig
from kd.data.batch import Batch
from kd.model.distributed import Processes
from kd.model.spec import Tap
from kd.train import engine
from kd.train.engine import EpochMetrics
from kd.train.multi_scale import resize_batch, sample_sides
from tests.kd.train.squares import SIDE, job

VARIED = AugmentConfig(mosaic=0.5, flip=0.5, scale=0.3, translate=0.1, color=0.3, multi_scale=0.9)


def sides(multi_scale: float, image_size: int, steps: int = 5000) -> list[int]:
    return sample_sides(np.random.default_rng(0), multi_scale, image_size, steps)


@pytest.mark.parametrize(
    ("multi_scale", "image_size", "low", "high"),
    [
        (0.0, 416, 416, 416),
        (0.5, 416, 192, 640),
        (0.1, 320, 288, 352),
        (0.5, 64, 64, 96),
        (0.01, 416, 416, 416),
        (0.99, 128, 64, 256),
        (0.0, 32, 32, 32),
    ],
)
def test_the_sides_are_multiples_of_32_around_the_image_size(multi_scale: float, image_size: int, low: int, high: int) -> None:
    counts = Counter(sides(multi_scale, image_size))
    assert sorted(counts) == list(range(low, high + 1, 32))
    assert all(abs(count / 5000 - 1 / len(counts)) < 0.03 for count in counts.values())


def test_the_first_sides_do_not_depend_on_the_number_of_steps() -> None:
    assert sides(0.5, 416, 10) == sides(0.5, 416, 100)[:10]


@pytest.fixture
def batch() -> Batch:
    """A white rectangle on black, and information maps that are 1 where it is."""
    pictures = torch.zeros(1, 3, 128, 128)
    pictures[:, :, 32:96, 64:128] = 1
    maps = {Tap("neck", stride): pictures[:, 0, ::stride, ::stride] for stride in (8, 16)}
    return Batch(pictures, torch.tensor([[64.0, 32.0, 128.0, 96.0]]), torch.tensor([0]), torch.tensor([0]), maps)


@pytest.mark.parametrize("side", [64, 96, 192])
def test_pictures_boxes_and_maps_are_resized_together(batch: Batch, side: int) -> None:
    resized = resize_batch(batch, side)
    left, top, right, bottom = (side * share for share in (0.5, 0.25, 1, 0.75))
    assert resized.boxes.tolist() == [[left, top, right, bottom]]
    assert resized.labels is batch.labels and resized.batch_index is batch.batch_index
    for stride, values in {1: resized.pictures[0, 0], **{tap.stride: maps[0] for tap, maps in resized.maps.items()}}.items():
        assert values.shape == (side // stride, side // stride)
        column, row = int(left // stride), int(0.5 * side // stride)
        assert values[row, -1] > 0.85 and values[row, 0] < 0.05 and values[0, 0] < 0.05 and values[-1, -1] < 0.15
        assert values[row, column] > 0.5 > values[row, column - 1]


def test_a_smaller_picture_is_not_aliased() -> None:
    stripes = torch.zeros(1, 3, 128, 128)
    stripes[..., ::2] = 1
    nothing = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0)
    small = resize_batch(Batch(stripes, *nothing, {}), 64).pictures
    torch.testing.assert_close(small[..., 2:-2], torch.full((1, 3, 64, 60), 0.5), rtol=0, atol=0.05)


def test_pictures_of_the_size_are_left_alone(batch: Batch) -> None:
    assert resize_batch(batch, 128) is batch


@pytest.mark.parametrize("live", [None, False, True])
def test_a_killed_training_resumes_with_the_same_sizes_and_ends_with_the_same_weights(
    squares: Path, single: Processes, tmp_path: Path, distill: Callable, live: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    resize = engine.resize_batch
    monkeypatch.setattr(engine, "resize_batch", lambda batch, side: seen.append(side) or resize(batch, side))

    def stop(metrics: EpochMetrics) -> None:
        if metrics["epoch"] == 2:
            raise KeyboardInterrupt

    build = None if live is None else distill(live=live, response=1.0)
    network, history = job(squares, tmp_path / "whole.pt", 4, VARIED).run(single, build)
    whole = list(seen)
    assert len(set(whole)) > 1 and set(whole) <= {SIDE, SIDE + 32, SIDE + 64} and len(whole) == 4 * 2
    seen.clear()
    broken = job(squares, tmp_path / "broken.pt", 4, VARIED)
    with pytest.raises(KeyboardInterrupt):
        broken.run(single, build, stop)
    resumed, again = broken.run(single, build)
    assert seen == whole and again == history
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in network.state_dict().items())
    other = job(squares, tmp_path / "other.pt", 4, VARIED, seed=1)
    seen.clear()
    other.run(single, build)
    assert seen != whole
