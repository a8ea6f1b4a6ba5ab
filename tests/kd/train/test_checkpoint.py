"""Checkpoints: whole or not there, and never code."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from kd.errors import InputError
from kd.train.checkpoint import load_checkpoint, restore_checkpoint, save_checkpoint
from tests.full_disk import files_limited_to

STATE = {"weights": {"a": torch.arange(6.0).reshape(2, 3)}, "history": [{"epoch": 1.0, "box": 0.5}], "name": "x"}


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "new" / "a.pt", STATE)
    found = load_checkpoint(tmp_path / "new" / "a.pt")
    assert torch.equal(found["weights"].pop("a"), STATE["weights"]["a"])
    assert found == STATE | {"weights": {}}


def test_there_may_be_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "a.pt") is None


def test_it_may_be_deleted_when_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by another run of the same training, which has just ended."""
    path = tmp_path / "a.pt"
    save_checkpoint(path, STATE)
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda file, **options: (path.unlink(missing_ok=True), load(file, **options))[1])
    assert load_checkpoint(path) is None


@pytest.mark.parametrize(
    "write", [lambda evil, file: file.write_bytes(pickle.dumps(evil)), lambda evil, file: torch.save({"a": evil}, file)]
)
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, write) -> None:
    write(Evil(tmp_path / "made"), tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"a\.pt: is not a checkpoint"):
        load_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "made").exists()


def test_a_full_disk_is_said_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    file = tmp_path / "a.pt"
    save_checkpoint(file, STATE)
    before = file.read_bytes()
    with files_limited_to(100_000), pytest.raises(InputError, match=r"a\.pt: checkpoint cannot be written .*; free some space"):
        save_checkpoint(file, STATE | {"big": torch.rand(100_000)})
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="checkpoint cannot be written"):
        save_checkpoint(tmp_path / "file" / "a.pt", STATE)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 0.999])
def test_a_cut_checkpoint_is_refused(tmp_path: Path, share: float) -> None:
    file = tmp_path / "a.pt"
    save_checkpoint(file, STATE)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"is not a checkpoint .*; delete it to train from the start"):
        load_checkpoint(file)


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_refused(tmp_path: Path, seed: int) -> None:
    (tmp_path / "a.pt").write_bytes(bytes(torch.randint(256, (300,), generator=torch.Generator().manual_seed(seed)).tolist()))
    with pytest.raises(InputError, match="is not a checkpoint"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"hello\n", b"12", b"\x80\x02.", b"\x80\x02N.", b"}", b"K\x01.", b"PK\x03\x04" + b"\0" * 50])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InputError, match="is not a checkpoint"):
        load_checkpoint(tmp_path / "a.pt")


def test_the_saved_state_is_restored(tmp_path: Path) -> None:
    saved, other = nn.Linear(2, 3), nn.Linear(2, 3)
    save_checkpoint(tmp_path / "a.pt", {"network": saved.state_dict(), "history": STATE["history"]})
    assert restore_checkpoint(tmp_path / "a.pt", {"network": other}) == STATE["history"] and torch.equal(saved.weight, other.weight)
    assert restore_checkpoint(tmp_path / "none.pt", {"network": other}) == []


GOOD = {"network": nn.Linear(2, 3).state_dict(), "history": STATE["history"]}


@pytest.mark.parametrize(
    "state",
    [
        torch.zeros(3),
        [],
        3,
        {},
        {"network": GOOD["network"]},
        GOOD | {"network": nn.Linear(3, 3).state_dict()},
        GOOD | {"network": 3},
        GOOD | {"history": [1.0]},
        GOOD | {"history": [{"epoch": "first"}]},
    ],
    ids=["tensor", "list", "number", "empty", "no history", "other shape", "no state", "history of numbers", "history of text"],
)
def test_a_checkpoint_of_something_else_is_refused(state: object, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"is not a checkpoint of this training \(.*\); delete it to train from the start"):
        restore_checkpoint(tmp_path / "a.pt", {"network": nn.Linear(2, 3)})
