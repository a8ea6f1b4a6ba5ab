"""The documented commands back up a registry and restore it in another folder."""

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from components.params.load import load_params
from components.register_model.packaging import open_model
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from tests.components.stores import enter_project, new_store
from tests.components.stub_models import register, write_data, write_model

ROOT = Path(__file__).parents[3]
SECTION = (ROOT / "docs/promotion.md").read_text().partition("## Backup and restore")[2].partition("\n## ")[0]
MODEL = "kdflow-student"
Command = Callable[..., str]


def block(language: str) -> str:
    """The code block of the section in a language."""
    [text] = re.findall(rf"```{language}\n(.*?)```", SECTION, flags=re.DOTALL)
    return str(text)


def test_a_registry_is_restored_in_another_folder(tmp_path: Path, registry_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    enter_project(old, monkeypatch)
    new_store(old)
    write_data(Path("outputs/prepare_data"))
    promotion = Promotion(Registry(MODEL))
    for number, share in (("1", 0.5), ("2", 0.8)):
        register(MODEL, write_model(Path(f"{number}.onnx"), (share, share)))
        assert promotion.promote(
            promotion.run_gate(number, load_params(overrides=["register_model.gate.min_pictures=40"]), Path("outputs/prepare_data"))
        )
    commands = (["history", "--json"], ["show", "champion", "--json"], ["list", "--json"], ["verify", "--all"])
    before = [registry_command(*command) for command in commands]
    assert "version 1: " in before[-1] and "version 2: " in before[-1]
    subprocess.run(["bash", "-e", "-c", block("sh")], cwd=old, check=True)

    shutil.move(old / "backup", new)
    shutil.copyfile(old / "params.yaml", new / "params.yaml")
    shutil.rmtree(old)
    monkeypatch.chdir(new)
    assert registry_command(*commands[0]) == before[0] and registry_command("verify", code=2).startswith("error: "), (
        "the files are elsewhere"
    )
    with closing(sqlite3.connect("mlflow.db")) as database:
        database.executescript(block("sql").replace("/old/project", str(old)).replace("/new/project", str(new)))
    assert [registry_command(*command) for command in commands] == before
    assert "the champion is version 1" in registry_command("rollback", "2", "--reason", "misses cats")
    assert "the champion is version 1" in registry_command("settle") and "warning" not in registry_command("history")
    assert open_model(f"models:/{MODEL}@champion").classes == ("cat", "dog")
