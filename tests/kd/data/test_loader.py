import os
import signal
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kd.data import loader
from kd.data.augment import AugmentConfig
from kd.data.batch import Batch, LoadedBatch
from kd.data.dataset import DetectionData
from kd.data.loader import TrainingDataset, scoring_loader, training_loader
from kd.data.sampler import EpochBatchSampler
from kd.errors import InputError
from kd.model.spec import Tap
from tests.kd.data.augmented import augmented
from tests.packed import replace_picture

BACKBONE, NECK = Tap("backbone", 16), Tap("neck", 32)
GREYS = [torch.full((3, 64, 64), value, dtype=torch.uint8) for value in (0, 255)]
STRONG = AugmentConfig(mosaic=0.5, flip=0.5, scale=0.3, translate=0.1, color=0.3)


class Stripes:
    """Stored maps in which every cell is the index of the picture."""

    def __getitem__(self, index: list[int]) -> Mapping[Tap, Tensor]:
        values = torch.tensor(index)[:, None, None].float()
        return {BACKBONE: values.expand(-1, 4, 4), NECK: values.expand(-1, 2, 2)}


@pytest.fixture
def data(write_split: Callable[..., Path]) -> DetectionData:
    sizes = [(64, 32), (32, 64), (48, 48), (64, 64), (40, 20), (20, 40), (64, 32)]
    pictures = [(w, h, [(k % 2, 1.0, 2.0, w / 2, h / 2)][: k % 3]) for k, (w, h) in enumerate(sizes)]
    return DetectionData(write_split(pictures), 64)


def epochs(data: DetectionData, numbers: list[int], workers: int = 0, maps: Stripes | None = None, seed: int = 0) -> list[Batch]:
    batches = EpochBatchSampler(len(data), batch=3, seed=seed)
    batches_of = training_loader(TrainingDataset(data, STRONG, 10, seed, maps), batches, workers)
    found = []
    for batches.epoch in numbers:
        found += [batch.augment() for batch in batches_of]
    return found


def same(one: list[Batch], other: list[Batch]) -> bool:
    return all(
        all(torch.equal(a, b) for a, b in zip(x[:4], y[:4], strict=True))
        and all(torch.equal(x.maps[name], y.maps[name]) for name in x.maps)
        for x, y in zip(one, other, strict=True)
    )


def test_an_epoch_does_not_depend_on_the_epochs_before_it(data: DetectionData) -> None:
    through = epochs(data, [0, 1, 2])
    assert same(through[4:], epochs(data, [2])) and same(through[2:4], epochs(data, [1]))
    assert not same(through[:2], through[2:4])
    assert not same(through[:2], epochs(data, [0], seed=1))


def test_a_picture_is_augmented_differently_in_each_epoch(data: DetectionData) -> None:
    samples = TrainingDataset(data, STRONG, 10, 0)
    assert not torch.equal(augmented(samples, (0, 4)).pictures, augmented(samples, (1, 4)).pictures)
    again = TrainingDataset(data, STRONG, 10, 0)
    assert torch.equal(augmented(samples, (1, 4)).pictures, augmented(again, (1, 4)).pictures)


def test_the_number_of_workers_does_not_change_the_batches(data: DetectionData) -> None:
    assert same(epochs(data, [1], maps=Stripes()), epochs(data, [1], workers=2, maps=Stripes()))


def test_a_batch_has_the_documented_shapes_and_ranges(data: DetectionData) -> None:
    for batch in epochs(data, [0, 1, 2], maps=Stripes()):
        assert batch.pictures.shape == (3, 3, 64, 64) and batch.pictures.dtype == torch.float32
        assert float(batch.pictures.min()) >= 0 and float(batch.pictures.max()) <= 1
        assert batch.boxes.shape == (len(batch.labels), 4) and batch.batch_index.shape == batch.labels.shape
        assert batch.labels.dtype == batch.batch_index.dtype == torch.int64
        assert float(batch.boxes.clamp(0, 64).sub(batch.boxes).abs().sum()) == 0
        assert {name: tuple(m.shape) for name, m in batch.maps.items()} == {BACKBONE: (3, 4, 4), NECK: (3, 2, 2)}


def test_batches_have_no_maps_if_none_are_given(data: DetectionData) -> None:
    assert epochs(data, [0])[0].maps == {}


def test_without_augmentation_picture_boxes_and_maps_are_unchanged(data: DetectionData) -> None:
    (picture,), boxes, labels, _, maps, _ = augmented(TrainingDataset(data, AugmentConfig(), 1, 0, Stripes()), (0, 4))
    square, frame = data.letterboxed(4)
    torch.testing.assert_close(picture, square / 255, rtol=0, atol=1e-4)
    torch.testing.assert_close(boxes, frame.to_square(data.objects(4)[0]))
    assert torch.equal(labels, data.objects(4)[1])
    assert maps[BACKBONE].tolist() == [[[pytest.approx(4.0)] * 4] * 4]


def test_pictures_without_labels_follow_those_with_labels(data: DetectionData, write_split: Callable[..., Path]) -> None:
    """They have no boxes, the maps after those of the others, and mosaics of their own: a mosaic of both would miss labels."""
    more = DetectionData(write_split([(64, 64, [])] * 4, "more"), 64)
    batches = EpochBatchSampler(len(data), 3, 0, unlabelled=len(more), unlabelled_share=0.5)
    plain, mixed = (
        [b.augment() for b in training_loader(TrainingDataset(data, STRONG, 10, 0, Stripes(), *unlabelled), sampler)]
        for unlabelled, sampler in (((), EpochBatchSampler(len(data), 3, 0)), ((more,), batches))
    )
    for one, both in zip(plain, mixed, strict=True):
        assert one.unlabelled == 0 and both.unlabelled == 3 and both.to(torch.device("cpu")).unlabelled == 3
        assert all(torch.equal(a, b) for a, b in zip(one[1:4], both[1:4], strict=True))
        torch.testing.assert_close(both.pictures[:3], one.pictures, rtol=0, atol=1e-4)
        torch.testing.assert_close({tap: maps[:3] for tap, maps in both.maps.items()}, one.maps, rtol=0, atol=1e-4)
        assert both.pictures.shape == (6, 3, 64, 64)
    mosaics = TrainingDataset(data, AugmentConfig(mosaic=1.0), 10, 0, unlabelled=more)
    batch = mosaics.collate([mosaics.sample(0, index)._replace(letterboxed=GREYS[index >= 7]) for index in range(11)])
    assert isinstance(batch, LoadedBatch)
    shown = batch.augment().pictures
    assert float(shown[:7].max()) < 0.51 and float(shown[7:].min()) > 0.49


def test_scoring_reads_every_picture_in_order(data: DetectionData) -> None:
    squares, positions = zip(*scoring_loader(data, batch=3), strict=True)
    assert [len(s) for s in squares] == [3, 3, 1] and squares[0].dtype == torch.uint8
    assert list(chain(*positions)) == [data.letterboxed(i)[1] for i in range(len(data))]


@pytest.mark.parametrize(("capacity", "decoded"), [(0, 28), (3, 19), (100, 7)])
def test_decoded_pictures_are_cached_up_to_the_memory_limit(
    data: DetectionData, capacity: int, decoded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four passes over seven pictures, of which `capacity` fit into the cache; augmentation does not change cached pictures."""
    read: list[int] = []
    letterboxed = data.letterboxed
    monkeypatch.setattr(data, "letterboxed", lambda index: (read.append(index), letterboxed(index))[1])
    samples = TrainingDataset(data, AugmentConfig(flip=0.5, color=0.3), 10, 0, cache=capacity * (3 * 64 * 64 + 25))
    passes = [augmented(samples, *((epoch, index) for index in range(7))) for epoch in (0, 1, 2, 0)]
    assert len(read) == decoded
    assert same(passes[:1], passes[3:])


@pytest.mark.parametrize(
    ("gpu", "processors", "workers", "expected"), [(0, 32, "auto", 0), (1, 32, "auto", 7), (1, 4, "auto", 1), (1, 32, 3, 3)]
)
def test_the_number_of_workers(gpu: int, processors: int, workers: loader.Workers, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one of four processes of `torchrun`, which sets OMP_NUM_THREADS to 1."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpu))
    monkeypatch.setattr("kd.threads.available_processors", lambda: processors)
    monkeypatch.setattr("kd.threads._quota", lambda root: processors)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert loader.worker_count(workers) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_is_raised_unchanged(data: DetectionData, workers: int) -> None:
    replace_picture(data.folder, "3.png", b"nothing")
    data = DetectionData(data.folder, 64)
    with pytest.raises(
        InputError, match=r"train/pictures-00000\.tar, 13\.png \(3\.png\): picture cannot be decoded \(.*\); run prepare_data again"
    ):
        epochs(data, [0, 1, 2], workers=workers)
    with pytest.raises(InputError, match=r"\(3\.png\): picture cannot be decoded"):
        list(scoring_loader(data, 3, workers))


def test_a_worker_that_dies_is_explained(data: DetectionData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "letterboxed", lambda index: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(InputError, match=r"train\.workers, .*: a process that loads pictures died .*; lower this step"):
        epochs(data, [0], workers=1)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "MemoryError"),
        (RuntimeError("unable to write to file </torch_1>: No space left on device (28)"), "No space left on device"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), "can't allocate memory"),
        (OSError(24, "Too many open files"), "Too many open files"),
    ],
)
def test_a_shortage_is_one_error_with_its_cause(
    data: DetectionData, monkeypatch: pytest.MonkeyPatch, workers: int, error: Exception, words: str
) -> None:
    def fail(index: int) -> None:
        raise error

    monkeypatch.setattr(data, "letterboxed", fail)
    with pytest.raises(InputError, match=rf"workers: memory, shared memory or open files do not suffice .*{words}.*; lower this"):
        list(scoring_loader(data, 3, workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_of_the_program_keeps_its_traceback(data: DetectionData, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    def fail(index: int) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(data, "letterboxed", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(scoring_loader(data, 3, workers))
