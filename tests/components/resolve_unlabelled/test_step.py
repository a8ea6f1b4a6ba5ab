"""The step resolve_unlabelled: what makes prepare_data run again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.params.models import Params
from components.resolve_unlabelled.step import resolve_unlabelled
from components.runtime.command import run_step
from kd.errors import InputError
from kd.files import digest, read_json


def test_its_output_changes_with_the_content_of_the_folder_only(params_with: Callable[..., Params], run: Any, tmp_path: Path) -> None:
    folder, moved, output = tmp_path / "pictures", tmp_path / "moved", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    run_step(resolve_unlabelled, params_with(f"data.unlabelled={folder}"), output=output)
    first = digest(output)
    assert read_json(output / "version.json") == {"sha256": digest(folder)}
    folder.rename(moved)
    run_step(resolve_unlabelled, params_with(f"data.unlabelled={moved}"), output=output)
    assert digest(output) == first
    (moved / "b.png").write_bytes(b"b")
    run_step(resolve_unlabelled, params_with(f"data.unlabelled={moved}"), output=output)
    assert digest(output) != first


def test_without_a_folder_the_version_is_empty(settings: Params, tmp_path: Path) -> None:
    run_step(resolve_unlabelled, settings, output=tmp_path / "out")
    assert read_json(tmp_path / "out/version.json") == {"sha256": ""}


def test_a_missing_folder_is_an_error_and_leaves_no_output(params_with: Callable[..., Params], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.unlabelled: .*none' is missing; name the folder"):
        run_step(resolve_unlabelled, params_with(f"data.unlabelled={tmp_path}/none"), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
