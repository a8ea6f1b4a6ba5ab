"""The step fetch_weights: copies of the files in `teacher.init` and `student.init`, or nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.fetch_weights.step import fetch_weights
from components.params.models import Params
from components.runtime.command import run_step
from kd.errors import InputError
from tests.components.prepared import contents


def test_files_are_copied_with_their_digests(run: Any, params_with: Callable[..., Params], tmp_path: Path) -> None:
    (tmp_path / "darknet53.conv.74").write_bytes(b"backbone")
    (tmp_path / "mine.safetensors").write_bytes(b"model")
    params = params_with(f"teacher.init={tmp_path}/darknet53.conv.74", f"student.init={tmp_path}/mine.safetensors")
    for output in ("one", "two"):
        fetch_weights(params, run, tmp_path / output)
    files = contents(tmp_path / "one")
    assert files == contents(tmp_path / "two")
    assert files["teacher/weights"] == b"backbone" and files["student/weights.safetensors"] == b"model"
    assert set(files) == {"teacher/weights", "student/weights.safetensors", "teacher/source.json", "student/source.json"}
    assert run.calls == []


def test_without_weights_the_output_is_always_the_same(run: Any, settings: Params, tmp_path: Path) -> None:
    fetch_weights(settings, run, tmp_path / "out")
    assert contents(tmp_path / "out") == {f"{role}/source.json": b'{\n  "init": ""\n}\n' for role in ("teacher", "student")}


def test_a_missing_file_is_an_error_and_the_former_output_stays(params_with: Callable[..., Params], tmp_path: Path) -> None:
    (tmp_path / "x.weights").write_bytes(b"1")
    run_step(fetch_weights, params_with(f"teacher.init={tmp_path}/x.weights"), output=tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(InputError, match=r"none\.weights: is missing; set init to the path of"):
        run_step(fetch_weights, params_with(f"student.init={tmp_path}/none.weights"), output=tmp_path / "out")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="loop: is missing"):
        run_step(fetch_weights, params_with(f"student.init={tmp_path}/loop"), output=tmp_path / "out")
    with pytest.raises(InputError, match="is a folder, not a file"):
        run_step(fetch_weights, params_with(f"student.init={tmp_path}"), output=tmp_path / "out")
    assert contents(tmp_path / "out") == before and len(before) == 3


@pytest.mark.parametrize("step", ["train_teacher", "fetch_weights/teacher"])
def test_a_training_does_not_start_from_its_own_result(
    step: str, run: Any, params_with: Callable[..., Params], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("outputs", step, "model.safetensors")
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.raises(InputError, match="is in the output of a step, which replaces it; copy it to another folder"):
        fetch_weights(params_with(f"teacher.init={file}"), run, tmp_path / "out")
