"""Published ways to distill features, in the same training, at the same taps and with the same adapter as ours.

Only the loss differs. All are written as means over positions and channels, because the sums in the papers, and so their
weights, grow with the size of the picture. A fair comparison gives each method its own best weight, which the ablation's group
published-weights finds; the gradient ratio shows the strength of each.
"""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.published.fgd import fgd_loss, fgd_maps
from benchmarks.published.fgfi import fgfi_loss, fgfi_maps
from benchmarks.published.fitnets import fitnets_loss
from benchmarks.published.pkd import pkd_loss
from kd.distillation.channel_loss import channel_loss
from kd.distillation.loss import TapLoss
from kd.distillation.map_generator import MapFunction
from kd.model.spec import ModelSpec


class PublishedMethod(NamedTuple):
    """The loss of one tap and, for a method that reads the labels, what computes its maps from them for a teacher."""

    tap_loss: TapLoss
    maps: Callable[[ModelSpec], MapFunction] | None = None


PUBLISHED_METHODS = {
    "fitnets": PublishedMethod(fitnets_loss),
    "fgfi": PublishedMethod(fgfi_loss, fgfi_maps),
    "cwd": PublishedMethod(channel_loss),
    "pkd": PublishedMethod(pkd_loss),
    "fgd": PublishedMethod(fgd_loss, fgd_maps),
}
