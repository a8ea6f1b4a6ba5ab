"""Maps on disk: what is written is read, a picture at a time, and nothing that is half written looks whole."""

from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from numpy.lib.format import open_memmap

from kd.distillation.map_store import MapStore, MapWriter, load_statistics, save_statistics
from kd.distillation.statistics import ChannelStatistics
from kd.errors import InputError
from kd.files import write_json
from kd.model.spec import Tap

BACKBONE, NECK = Tap("backbone", 16), Tap("neck", 32)
SHAPES = {BACKBONE: 4, NECK: 2}
MAPS = {tap: torch.rand(5, cells, cells, generator=torch.Generator().manual_seed(cells)) * 9 for tap, cells in SHAPES.items()}


def write(folder: Path) -> Path:
    with MapWriter(folder, SHAPES, 5, {"method": "activation"}) as writer:
        writer.add({tap: maps[:3] for tap, maps in MAPS.items()})
        writer.add({tap: maps[3:] for tap, maps in MAPS.items()})
    return folder


def test_what_is_written_is_read_in_half_precision(tmp_path: Path) -> None:
    store = MapStore(write(tmp_path), list(SHAPES), 5)
    assert store.metadata == {"method": "activation", "pictures": 5}
    for index in (4, 0, 2):
        for tap, importance in store[index].items():
            assert importance.dtype == torch.float32
            assert torch.equal(importance, MAPS[tap][index].half().float())


def test_the_files_are_plain_numpy(tmp_path: Path) -> None:
    content = np.load(write(tmp_path) / "neck_32.npy")
    assert content.dtype == np.float16 and content.shape == (5, 2, 2)
    np.testing.assert_array_equal(content, MAPS[NECK].numpy().astype(np.float16))


def test_reading_a_picture_does_not_load_the_file(tmp_path: Path) -> None:
    open_memmap(tmp_path / "neck_32.npy", mode="w+", dtype=np.float16, shape=(200_000, 40, 40))  # 640 MB of holes
    write_json(tmp_path / "index.json", {"pictures": 200_000})
    before = psutil.Process().memory_info().rss
    store = MapStore(tmp_path, [NECK], 200_000)
    assert all(store[index][NECK].shape == (40, 40) for index in (0, 100_000, 199_999))
    assert psutil.Process().memory_info().rss - before < 20e6


def test_only_the_taps_that_are_asked_for_are_read(tmp_path: Path) -> None:
    assert list(MapStore(write(tmp_path), [NECK], 5)[0]) == [NECK]


def test_an_interrupted_writer_leaves_no_index(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), MapWriter(tmp_path, SHAPES, 5, {}) as writer:
        writer.add({tap: maps[:3] for tap, maps in MAPS.items()})
        raise RuntimeError
    assert not (tmp_path / "index.json").exists()
    with pytest.raises(InputError, match=r"index\.json: is missing"):
        MapStore(tmp_path, list(SHAPES), 5)


def test_maps_of_other_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds maps of 5 pictures, but the data have 6; run compute_info_maps again"):
        MapStore(write(tmp_path), list(SHAPES), 6)


def test_a_missing_tap_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks the maps .*backbone_32\.npy"):
        MapStore(write(tmp_path), [Tap("backbone", 32)], 5)


def test_statistics_are_kept_exactly(tmp_path: Path) -> None:
    statistics = {tap: ChannelStatistics(torch.randn(7), torch.rand(7)) for tap in SHAPES}
    save_statistics(tmp_path, statistics)
    found = load_statistics(tmp_path, SHAPES)
    assert found.keys() == statistics.keys()
    assert all(torch.equal(found[tap][i], statistics[tap][i]) for tap in SHAPES for i in (0, 1))


def test_missing_statistics_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks the channel statistics .*neck_32\.statistics\.npy"):
        load_statistics(tmp_path, [NECK])
