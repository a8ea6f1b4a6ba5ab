"""Augmentation of single pictures; the code augments batches."""

import torch
from torch import Tensor

from kd.data.batch import Batch, LoadedBatch
from kd.data.loader import TrainingDataset
from kd.data.placement import Placement, to_tensor, warp


def compose(squares: list[Tensor], placements: list[Placement], fill: float) -> Tensor:
    """One picture [C, S, S] of squares [C, S, S], each with its placement."""
    rows = to_tensor(placements, len(placements)).expand(1, len(squares), -1, -1)
    return warp(torch.stack(squares)[None], rows, fill)[0, 0]


def augmented(dataset: TrainingDataset, *keys: tuple[int, int]) -> Batch:
    batch = dataset.collate([dataset[key] for key in keys])
    assert isinstance(batch, LoadedBatch)
    return batch.augment()
