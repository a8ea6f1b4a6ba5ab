"""Steps replace their own former output, and no other folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.params.load import load_params
from components.runtime.command import SECTIONS, run_command, run_step
from components.runtime.outputs import OUTPUTS, check_output
from kd.errors import InputError
from tests.components.prepared import contents

ROOT = Path(__file__).parents[3]


@pytest.fixture
def command(execution_one, tmp_path, monkeypatch, capsys):
    """Run the command of a step in `tmp_path`; return its exit code and what it printed to stderr."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, "--params", str(ROOT / "params.yaml"), *map(str, arguments)])
        try:
            run_command(name)
        except SystemExit as stopped:
            return stopped.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


@pytest.fixture
def mine(writers, data):
    return writers["coco"](data)


def test_every_step_has_its_outputs():
    assert set(OUTPUTS) == set(SECTIONS)


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("coco", "coco: is also the input data.path, which would be replaced; choose another --output"),
        ("coco/../coco", "is also the input data.path"),
        ("link", "link: is also the input data.path"),
        ("coco/out", "coco/out: is inside the input data.path (coco)"),
        ("coco/train", "coco/train: is inside the input data.path (coco)"),
        (".", "'.' names no folder of its own; give the name of a folder"),
        ("", "'.' names no folder of its own"),
        ("notes", "notes: contains diary.txt, which prepare_data did not write, and would be replaced as a whole; choose another --output"),
        ("file", "file: is a file, not a folder"),
        ("file/out", "file: is a file, not a folder"),
        ("/dev/null", "/dev/null: is a file, not a folder"),
    ],
)
def test_a_folder_of_the_user_is_refused_before_any_work(command, mine, tmp_path, output, problem):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/diary.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("coco")
    before = contents(tmp_path)
    code, error = command("prepare_data", "--set", "data.path=coco", "--output", output)
    assert code == 2 and error.startswith("error: ") and error.count("\n") == 1 and problem in error
    assert contents(tmp_path) == before


def test_a_folder_above_the_data_is_refused(command, mine, tmp_path):
    (tmp_path / "above").mkdir()
    mine.rename(tmp_path / "above/train")  # a name that prepare_data writes
    code, error = command("prepare_data", "--set", "data.path=above/train", "--output", "above")
    assert code == 2 and "above: contains the input data.path (above/train), which would be deleted" in error
    assert (tmp_path / "above/train/train/annotations.json").is_file()


def test_a_dataset_is_refused_by_every_step(mine):
    before = contents(mine)
    for step in OUTPUTS:
        with pytest.raises(InputError, match=r"coco: .* and would be replaced as a whole; choose another --output, or empty the folder"):
            check_output(step, mine, {})
    assert contents(mine) == before


def test_a_step_replaces_its_own_output(command, mine, tmp_path):
    options = ("--set", "data.path=coco", "--output", "out/prepared")
    assert command("prepare_data", *options)[0] == 0
    first = contents(tmp_path / "out")
    (tmp_path / "out/prepared/.gitignore").touch()
    assert command("prepare_data", *options)[0] == 0
    assert contents(tmp_path / "out") == first and list((tmp_path / "out").iterdir()) == [tmp_path / "out/prepared"]
    (tmp_path / "out/prepared/notes.txt").write_text("mine")
    assert "contains notes.txt, which prepare_data did not write" in command("prepare_data", *options)[1]
    assert command("compose_scenes", "--output", "out/prepared")[0] == 2


def test_composed_scenes_are_replaced_and_a_dataset_that_looks_like_them_is_not(command, tmp_path):
    sizes = ("--set", "compose_scenes.train=2", "--set", "compose_scenes.test=1")
    for _ in range(2):
        assert command("compose_scenes", *sizes, "--output", "scenes")[0] == 0
    (tmp_path / "scenes/.compose_scenes.json").unlink()
    code, error = command("compose_scenes", *sizes, "--output", "scenes")
    assert code == 2 and "scenes: was not written by compose_scenes" in error and (tmp_path / "scenes/train").is_dir()


def test_an_empty_or_linked_folder_is_written_to(command, mine, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    assert command("prepare_data", "--set", "data.path=coco", "--output", "link")[0] == 0
    assert (tmp_path / "link").is_symlink() and (tmp_path / "empty/summary.json").is_file()


def test_a_folder_without_permission_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # root has every permission
    with pytest.raises(InputError, match=f"{tmp_path}: must not be written to by this user; give the permission"):
        check_output("evaluate", tmp_path / "new", {})


def test_the_refusal_comes_before_the_step(mine, execution_one):
    params = load_params(ROOT / "params.yaml", [f"data.path={mine}"])

    def prepare_data(params, run, output: Path = Path("out")):
        pytest.fail("the step has started")

    with pytest.raises(InputError, match="is also the input"):
        run_step(prepare_data, params, output=mine)


def test_the_help_says_that_the_folder_is_replaced():
    command = [sys.executable, "-m", "components.prepare_data", "--help"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "a former output there is replaced as a whole" in " ".join(text.split())
