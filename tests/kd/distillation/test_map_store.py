"""Maps on disk: what is written is read, a picture at a time, and nothing that is half written looks whole."""

import pickle
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from numpy.lib.format import open_memmap

from kd.distillation.map_store import MapStore, MapWriter, load_statistics, save_statistics
from kd.distillation.statistics import ChannelStatistics
from kd.errors import InputError
from kd.files import read_json, write_json
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
    files = {"backbone_16": "backbone_16.npy", "neck_32": "neck_32.npy"}
    assert store.metadata == {"method": "activation", "pictures": 5, "files": files}
    for index in (4, 0, 2):
        for tap, importance in store[index].items():
            assert importance.dtype == torch.float32
            assert torch.equal(importance, MAPS[tap][index].half().float())
    several = store[[4, 0, 2]]
    assert all(torch.equal(several[tap], MAPS[tap][[4, 0, 2]].half().float()) for tap in SHAPES)


def test_the_files_are_plain_numpy(tmp_path: Path) -> None:
    content = np.load(write(tmp_path) / "neck_32.npy")
    assert content.dtype == np.float16 and content.shape == (5, 2, 2)
    np.testing.assert_array_equal(content, MAPS[NECK].numpy().astype(np.float16))


def test_reading_a_picture_does_not_load_the_file(tmp_path: Path) -> None:
    """Nor does sending the maps to another process."""
    open_memmap(tmp_path / "neck_32.npy", mode="w+", dtype=np.float16, shape=(2_000_000, 40, 40))  # 6.4 GB of holes
    write_json(tmp_path / "index.json", {"pictures": 2_000_000, "files": {"neck_32": "neck_32.npy"}})
    before = psutil.Process().memory_info().rss
    store = MapStore(tmp_path, [NECK], 2_000_000)
    sent = pickle.dumps(store)
    for received in (store, pickle.loads(sent)):
        assert all(received[index][NECK].shape == (40, 40) for index in (0, 1_000_000, 1_999_999))
    assert psutil.Process().memory_info().rss - before < 200e6 and len(sent) < 10_000


@pytest.mark.parametrize(("name", "content"), [("neck_32.npy", b""), ("neck_32.npy", b"\x93NUMPY"), ("index.json", b"{}")])
def test_damaged_maps_are_one_error(tmp_path: Path, name: str, content: bytes) -> None:
    write(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="run compute_info_maps again"):
        MapStore(tmp_path, [NECK], 5)


def test_a_truncated_file_is_one_error(tmp_path: Path) -> None:
    file = write(tmp_path) / "neck_32.npy"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(InputError, match="damaged maps"):
        MapStore(tmp_path, [NECK], 5)


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
    with pytest.raises(InputError, match=r"index\.json: names no file for the maps of backbone_32; run compute_info_maps again"):
        MapStore(write(tmp_path), [Tap("backbone", 32)], 5)
    (tmp_path / "neck_32.npy").unlink()
    with pytest.raises(InputError, match=r"lacks the maps .*neck_32\.npy"):
        MapStore(tmp_path, [NECK], 5)


def test_taps_with_the_same_maps_share_a_file(tmp_path: Path) -> None:
    both = {Tap("backbone", 32): MAPS[NECK], NECK: MAPS[NECK], BACKBONE: MAPS[BACKBONE]}
    shapes = {tap: maps.shape[-1] for tap, maps in both.items()}
    stores = []
    for name, shared in (("apart", False), ("shared", True)):
        (tmp_path / name).mkdir()
        with MapWriter(tmp_path / name, shapes, 5, {}, shared) as writer:
            writer.add(both)
        stores.append(MapStore(tmp_path / name, list(shapes), 5))
    assert {file.name for file in (tmp_path / "shared").iterdir()} == {"index.json", "stride_16.npy", "stride_32.npy"}
    for index in range(5):
        apart, shared = (store[index] for store in stores)
        assert list(apart) == list(shared) == list(shapes)
        assert all(torch.equal(apart[tap], shared[tap]) for tap in shapes)


def test_a_file_outside_of_the_folder_is_not_read(tmp_path: Path) -> None:
    content = read_json(write(tmp_path) / "index.json")
    write_json(tmp_path / "index.json", content | {"files": {"neck_32": "../neck_32.npy"}})
    with pytest.raises(InputError, match=r"names no file for the maps of neck_32"):
        MapStore(tmp_path, [NECK], 5)


def test_statistics_are_kept_exactly(tmp_path: Path) -> None:
    statistics = {tap: ChannelStatistics(torch.randn(7), torch.rand(7)) for tap in SHAPES}
    save_statistics(tmp_path, statistics)
    found = load_statistics(tmp_path, SHAPES)
    assert found.keys() == statistics.keys()
    assert all(torch.equal(found[tap][i], statistics[tap][i]) for tap in SHAPES for i in (0, 1))


def test_missing_statistics_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks the channel statistics .*neck_32\.statistics\.npy"):
        load_statistics(tmp_path, [NECK])
