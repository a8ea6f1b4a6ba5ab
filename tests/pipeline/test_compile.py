import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.__main__ import main
from pipeline.cluster import load_cluster
from pipeline.compile import SPEC, compile_spec

ROOT = Path(__file__).parents[2]
IMAGE = "registry.example.org/kdflow@sha256:" + "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def in_the_projects_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_committed_file_is_what_compile_writes(tmp_path: Path) -> None:
    compile_spec(tmp_path / "spec.yaml", load_cluster())
    assert (tmp_path / "spec.yaml").read_text() == SPEC.read_text(), "run `python -m pipeline compile` and commit pipeline/kdflow.yaml"


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipeline", "compile", "--out", str(tmp_path / "spec.yaml")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert (tmp_path / "spec.yaml").read_bytes() == SPEC.read_bytes()


def test_it_holds_no_machine_path_and_no_moving_tag() -> None:
    text = SPEC.read_text()
    assert not re.search(r"/(home|root|Users|tmp|work)/", text) and str(ROOT) not in text
    assert ":latest" not in text
    images = {executor["container"]["image"] for executor in next(yaml.safe_load_all(text))["deploymentSpec"]["executors"].values()}
    assert images == {"{{$.inputs.parameters['pipelinechannel--image']}}"}, "the run names the image"


def test_it_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = {name: f"hidden-{name}" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD")}
    for name, value in hidden.items():
        monkeypatch.setenv(name, value)
    compile_spec(tmp_path / "spec.yaml", load_cluster())
    assert "hidden-" not in (tmp_path / "spec.yaml").read_text()


def test_an_image_becomes_the_default_of_the_runs(tmp_path: Path) -> None:
    main(["compile", "--image", IMAGE, "--out", str(tmp_path / "spec.yaml")])
    spec = next(yaml.safe_load_all((tmp_path / "spec.yaml").read_text()))
    assert spec["root"]["inputDefinitions"]["parameters"]["image"]["defaultValue"] == IMAGE


def test_a_tag_is_refused_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["compile", "--image", "kdflow:latest", "--out", str(tmp_path / "spec.yaml")])
    assert exit.value.code == 2 and not list(tmp_path.iterdir())
    assert capsys.readouterr().err.startswith("error: --image: ")
