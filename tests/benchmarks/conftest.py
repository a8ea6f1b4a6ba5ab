"""A tiny ablation: red and blue squares, the smallest networks, one epoch."""

from pathlib import Path

import pytest

from tests.kd.train.squares import write_squares

ROOT = Path(__file__).parents[2]
SMALL = (
    "data.image_size=64", "teacher.width=0.0625", "teacher.depth=0.1", "student.width=0.0625", "teacher.train.epochs=1",
    "student.train.epochs=2", "student.train.batch=4", "distill.weight=1",
)  # fmt: skip


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture
def words(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command's words for the tiny ablation in `tmp_path`."""
    monkeypatch.setenv("KDFLOW_CHECKPOINTS", str(tmp_path / "checkpoints"))
    changes = [word for change in SMALL for word in ("--set", change)]
    return ["--data", str(squares), "--params", str(ROOT / "params.yaml"), "--out", str(tmp_path / "out"), *changes]
