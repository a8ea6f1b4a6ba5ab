"""Who learns from whom."""

import torch

from kd.distillation.tap_pairs import Partner, pair_taps, stride_of
from kd.model.build import Network
from tests.kd.train.squares import SIDE


def test_taps_of_one_stride_pair_up_and_finer_ones_go_to_the_finest(teacher: Network, student: Network) -> None:
    pairs = pair_taps(student, teacher, ("backbone", "neck"), (8, 16, 32), SIDE)
    assert pairs == {
        "backbone_8": Partner("backbone_16", 16, 2),
        "backbone_16": Partner("backbone_16", 16, 1),
        "backbone_32": Partner("backbone_32", 64, 1),
        "neck_8": Partner("neck_16", 16, 2),
        "neck_16": Partner("neck_16", 16, 1),
        "neck_32": Partner("neck_32", 32, 1),
    }


def test_only_what_is_asked_for_is_paired(teacher: Network, student: Network) -> None:
    assert list(pair_taps(student, teacher, ("neck",), (16, 32), SIDE)) == ["neck_16", "neck_32"]
    assert pair_taps(student, teacher, (), (8, 16, 32), SIDE) == {}
    assert list(pair_taps(teacher, student, ("neck",), (8, 16, 32), SIDE)) == ["neck_16", "neck_32"]
    assert pair_taps(teacher, teacher, ("neck",), (8,), SIDE)["neck_8"].fold == 1


def test_the_trial_run_changes_nothing(teacher: Network, student: Network) -> None:
    before = {name: value.clone() for name, value in student.state_dict().items()}
    pair_taps(student, teacher, ("backbone",), (16,), SIDE)
    assert student.training and not teacher.training
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_the_stride_is_in_the_name() -> None:
    assert [stride_of(tap) for tap in ("neck_8", "backbone_32")] == [8, 32]
