"""The parameter files are complete, and differ from `params.yaml` only in settings that depend on data and machine."""

from pathlib import Path

import pytest
import yaml

from components.params.load import load_params

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "examples").glob("*.yaml"))
SAME = ("seed", "evaluate", "register_model")
"""Sections that depend on neither data nor machine."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_has_all_parameters_in_the_same_order(file: Path) -> None:
    ours, default = (yaml.safe_load(path.read_text()) for path in (file, ROOT / "params.yaml"))
    params = load_params(file)
    assert list(ours) == list(default) and all(list(ours[key]) == list(default[key]) for key in ours if isinstance(ours[key], dict))
    assert params.teacher.architecture == "yolov3" and params.student.architecture == "yolov3-tiny"
    assert file.read_text().startswith("# ")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_sections_that_depend_on_neither_data_nor_machine_are_the_defaults(file: Path) -> None:
    ours, default = (yaml.safe_load(path.read_text()) for path in (file, ROOT / "params.yaml"))
    unjudged = [content["register_model"]["gate"].pop("unjudged") for content in (ours, default)]
    assert unjudged == [["toaster"] if file.stem == "coco" else [], []], "COCO has 9 toasters in its 5,000 validation pictures"
    assert [ours[name] for name in SAME] == [default[name] for name in SAME]


@pytest.mark.parametrize("file", [file for file in FILES if "GPU" in file.read_text()], ids=lambda file: file.stem)
def test_files_for_a_gpu_have_the_published_networks(file: Path) -> None:
    params = load_params(file)
    assert params.teacher.width == params.teacher.depth == params.student.width == 1
