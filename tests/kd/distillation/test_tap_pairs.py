"""Which tap of the student learns from which tap of the teacher."""

import torch

from kd.distillation.tap_pairs import TapPair, pair_taps
from kd.model.build import Network
from kd.model.spec import Tap
from tests.kd.train.squares import SIDE

ALL = (8, 16, 32)


def tap(name: str) -> Tap:
    part, stride = name.split("_")
    return Tap(part, int(stride))


def test_equal_strides_pair_up_and_finer_ones_go_to_the_finest(student: Network) -> None:
    assert pair_taps(student, ALL, ("neck", "backbone"), ALL, SIDE) == [
        TapPair(tap("backbone_8"), tap("backbone_16"), 16, 2),
        TapPair(tap("backbone_16"), tap("backbone_16"), 16, 1),
        TapPair(tap("backbone_32"), tap("backbone_32"), 64, 1),
        TapPair(tap("neck_8"), tap("neck_16"), 16, 2),
        TapPair(tap("neck_16"), tap("neck_16"), 16, 1),
        TapPair(tap("neck_32"), tap("neck_32"), 32, 1),
    ]


def test_only_requested_taps_are_paired(teacher: Network, student: Network) -> None:
    def names(network: Network, teacher_strides: tuple[int, ...], parts: tuple[str, ...], strides: tuple[int, ...]) -> list[str]:
        return [str(pair.teacher) for pair in pair_taps(network, teacher_strides, parts, strides, SIDE)]

    assert names(student, ALL, ("neck",), (16, 32)) == ["neck_16", "neck_32"]
    assert names(student, ALL, (), ALL) == []
    assert names(teacher, (16, 32), ("neck",), ALL) == ["neck_16", "neck_32"], "the teacher has no stride 8"
    assert pair_taps(teacher, ALL, ("neck",), (8,), SIDE)[0].upscale_factor == 1


def test_the_student_is_left_as_it_was(student: Network) -> None:
    before = {name: value.clone() for name, value in student.state_dict().items()}
    pair_taps(student, ALL, ("backbone",), (16,), SIDE)
    assert student.training
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
