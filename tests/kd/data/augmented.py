"""Augmentation of single pictures; the code augments batches."""

import torch
from torch import Tensor

from kd.data.batch import Batch, LoadedBatch
from kd.data.loader import Sample, collate
from kd.data.placement import Placement, to_tensor, warp
from kd.errors import InputError


def compose(squares: list[Tensor], placements: list[Placement], fill: float) -> Tensor:
    """One picture [C, S, S] of squares [C, S, S], each with its placement."""
    return warp(torch.stack(squares)[None], to_tensor(placements, len(placements))[None], fill)[0]


def augmented(*samples: Sample | InputError) -> Batch:
    batch = collate(list(samples))
    assert isinstance(batch, LoadedBatch)
    return batch.augment()
