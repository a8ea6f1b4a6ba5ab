"""Published ways to distil features, in the same training, at the same taps and with the same adapter as ours.

What is compared is the loss. All are written as means over places and channels, because the papers' sums, and so their weights,
grow with the picture. A fair comparison gives each its own best weight (the ablation's group rival-weights finds it); the
gradient ratio tells how hard each pulls.
"""

from dataclasses import dataclass

from benchmarks.rivals.fgd import Focal, ObjectScales
from benchmarks.rivals.fgfi import BinaryMask, FineGrained
from benchmarks.rivals.fitnets import Hint
from benchmarks.rivals.pkd import Pearson
from kd.distillation.cartographer import Cartographer
from kd.distillation.channels import ChannelLoss
from kd.distillation.teaching import TapLoss


@dataclass(frozen=True)
class Rival:
    """A method: its loss of a tap and, where that looks at the labels, what draws its maps from them."""

    tap_loss: TapLoss
    cartographer: type[Cartographer] = Cartographer


RIVALS = {
    "fitnets": Rival(Hint),
    "fgfi": Rival(FineGrained, BinaryMask),
    "cwd": Rival(ChannelLoss),
    "pkd": Rival(Pearson),
    "fgd": Rival(Focal, ObjectScales),
}
