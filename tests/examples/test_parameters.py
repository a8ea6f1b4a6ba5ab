"""The parameter files are whole and agree with `params.yaml` where data and machine decide nothing."""

from pathlib import Path

import pytest
import yaml

from components.params.load import load_params

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "examples").glob("*.yaml"))
SAME = ("seed", "evaluate", "register_model")
"""What neither data nor machine decide."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_is_complete(file: Path) -> None:
    ours, default = (yaml.safe_load(path.read_text()) for path in (file, ROOT / "params.yaml"))
    params = load_params(file)
    assert list(ours) == list(default) and all(list(ours[key]) == list(default[key]) for key in ours if isinstance(ours[key], dict))
    assert params.teacher.architecture == "yolov3" and params.student.architecture == "yolov3-tiny"
    assert file.read_text().startswith("# ")


@pytest.mark.parametrize("file", [file for file in FILES if "GPU" in file.read_text()], ids=lambda file: file.stem)
def test_on_a_gpu_the_networks_are_the_published_ones(file: Path) -> None:
    params = load_params(file)
    assert params.teacher.width == params.teacher.depth == params.student.width == 1
