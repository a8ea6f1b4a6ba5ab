"""A distillation put together: what of the teacher runs, which maps are used, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kd.data.batch import Batch
from kd.data.dataset import DetectionData
from kd.distillation.compute_maps import write_info_maps
from kd.distillation.loss import DistillConfig
from kd.distillation.map_generator import InfoMapGenerator
from kd.distillation.map_store import load_statistics
from kd.distillation.setup import Distillation, build_distillation
from kd.errors import InputError
from kd.model.build import Network
from kd.model.spec import ModelSpec, taps_at
from tests.kd.train.squares import spec_for

STRIDES = (8, 16, 32)
Build = Callable[..., Distillation]


@pytest.fixture
def folder(teacher: Network, teacher_spec: ModelSpec, split: DetectionData, tmp_path: Path) -> Path:
    write_info_maps(teacher, teacher_spec, split, "activation", 4, tmp_path, {})
    return tmp_path


@pytest.fixture
def build(teacher: Network, teacher_spec: ModelSpec, student: Network, split: DetectionData, folder: Path) -> Build:
    def build(live: bool = False, spec: ModelSpec = teacher_spec, pictures: int = len(split), **settings: object) -> Distillation:
        config = DistillConfig(**settings)
        return build_distillation(teacher, spec, config, folder, student, spec_for(), pictures, None, 0, live=live)

    return build


@pytest.mark.parametrize(
    ("settings", "live", "levels"),
    [
        ({"taps": ("neck",)}, False, {"8", "16", "32"}),
        ({"taps": ("neck",), "strides": (16, 32)}, False, {"16", "32"}),
        ({"taps": ("backbone",)}, False, set()),
        ({"taps": ("backbone",)}, True, {"8", "16", "32"}),
        ({}, True, {"8", "16", "32"}),
        ({"taps": (), "response": 1.0}, False, {"8", "16", "32"}),
    ],
)
def test_the_teacher_computes_only_the_levels_that_are_used(
    build: Build, batch: Batch, settings: dict, live: bool, levels: set[str]
) -> None:
    distillation, ran = build(live, **settings), set()
    for name, module in distillation.teacher.levels.items():
        module.register_forward_hook(lambda *_, name=name: ran.add(name))
    distillation.teacher(batch.pictures, distillation.strides)
    assert ran == levels


def test_yolov3_tiny_computes_only_the_levels_that_are_used(student: Network, batch: Batch) -> None:
    assert set(student(batch.pictures, (32,)).heads) == {32} and set(student(batch.pictures, ()).heads) == set()
    whole, coarse = student.eval()(batch.pictures), student(batch.pictures, (32,))
    torch.testing.assert_close(coarse.heads[32], whole.heads[32])


def test_stored_maps_are_those_of_the_batch(build: Build, batch: Batch) -> None:
    distillation = build()
    maps = {tap: torch.rand(8, 2, 2) for tap in taps_at(STRIDES)}
    assert distillation.maps(batch._replace(maps=maps), None) is maps
    assert set(distillation.stored_maps[0]) == set(maps)


def test_live_maps_are_computed_with_the_method_of_the_stored_ones(
    build: Build, batch: Batch, teacher: Network, teacher_spec: ModelSpec, folder: Path
) -> None:
    distillation = build(live=True)
    assert distillation.stored_maps is None
    found = distillation.maps(batch, distillation.teacher(batch.pictures, distillation.strides))
    taps = taps_at(STRIDES)
    expected = InfoMapGenerator(teacher, teacher_spec, "activation", taps, load_statistics(folder, taps))(batch)
    assert found.keys() == expected.keys()
    for tap, info_map in expected.items():
        torch.testing.assert_close(found[tap], info_map, rtol=1e-3, atol=1e-4)


def test_the_adapters_depend_on_the_seed_only(build: Build) -> None:
    torch.manual_seed(1)
    first = build().loss.state_dict()
    torch.manual_seed(2)
    second = build().loss.state_dict()
    assert first and all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_teacher_is_a_frozen_copy(build: Build, teacher: Network) -> None:
    frozen = build().teacher
    assert frozen is not teacher and not frozen.training and not any(p.requires_grad for p in frozen.parameters())


def test_a_teacher_of_other_classes_or_another_size_is_an_error(build: Build, teacher_spec: ModelSpec) -> None:
    for spec in (replace(teacher_spec, classes=("red", "green")), replace(teacher_spec, image_size=96)):
        with pytest.raises(InputError, match="teacher: has other classes or another image size than the student"):
            build(spec=spec)


def test_maps_of_other_data_are_an_error(build: Build) -> None:
    with pytest.raises(InputError, match="holds maps of 8 pictures, but the data have 9"):
        build(pictures=9)
