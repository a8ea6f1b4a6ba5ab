"""compute_info_maps and evaluate in two processes, started as by their tasks, but on the CPU: they write what one process writes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from components.params.load import load_params
from kd.detection.evaluate import BATCH
from kd.distillation.info_map import METHODS
from kd.files import digest, read_json, write_json
from pipeline.launch import run_processes
from tests.components.stores import new_store, records
from tests.components.trained import TRAIN, write_outputs
from tests.packed import replace_picture

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TEST = BATCH + 3
# the folder of the second process does not exist, so an attempt to write there fails
WITHOUT_FOLDER = """import contextlib, os, tempfile
if os.environ.get("RANK") == "1":
    tempfile.TemporaryDirectory = lambda *arguments, **settings: contextlib.nullcontext("/nowhere")
"""
Places = dict[str, Path]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """What the two steps read, in a working folder with an empty store."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_FOLDER)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)
    places = write_outputs(tmp_path, test=TEST)
    unlabelled = Path(shutil.copytree(places["data"] / "train", places["data"] / "unlabelled"))
    write_json(unlabelled / "annotations.json", read_json(unlabelled / "annotations.json") | {"annotations": []})
    return places


def compute(step: str, places: Places, processes: int, *changes: str) -> Path:
    """Run a step; the second of two processes has the second batch, and the first all others."""
    output = Path(f"{step} {processes}").resolve()
    read = {name: places[name] for name in ("data", "teacher")} if step == "compute_info_maps" else places
    run_processes(step, load_params(ROOT / "params.yaml", ["info_maps.batch=2", *changes]), {**read, "output": output}, processes)
    return output


def test_maps_and_statistics_are_those_of_one_process(places: Places) -> None:
    one, two = (compute("compute_info_maps", places, processes) for processes in (1, 2))
    assert (one / "index.json").read_bytes() == (two / "index.json").read_bytes()
    assert [file.name for file in sorted(one.iterdir())] == [file.name for file in sorted(two.iterdir())]
    for file in one.glob("*.npy"):
        expected, found = np.load(file).astype(np.float32), np.load(two / file.name).astype(np.float32)
        np.testing.assert_allclose(found, expected, rtol=2e-3 if len(expected) > 2 else 1e-6, err_msg=file.name)
        assert len(expected) in (2, 2 * TRAIN) and not np.allclose(expected[0], expected[-1], rtol=0.1), "the order would not matter"


@pytest.mark.parametrize("method", [method for method in METHODS if method != "activation"])
def test_every_method_computes_its_maps_without_communication(places: Places, method: str) -> None:
    """A process that has fewer batches would wait for ever."""
    output = compute("compute_info_maps", places, 2, f"info_maps.method={method}")
    assert read_json(output / "index.json")["method"] == method


def test_scores_report_and_record_are_those_of_one_process(places: Places) -> None:
    """Also without a baseline, which a command has to be told."""
    read: dict = {**places, "baseline": None}
    one, two = (compute("evaluate", read, processes) for processes in (1, 2))
    assert digest(one) == digest(two)
    own = records()["evaluate"].data.metrics  # the last one
    assert own["student.map50"] == read_json(two / "metrics.json")["student"]["map50"] and own["student.latency_ms"] > 0
    assert not any("baseline" in name for name in own)


def test_an_error_of_the_second_process_is_reported_once(places: Places, capfd: pytest.CaptureFixture[str]) -> None:
    replace_picture(places["data"] / "train", "3.png", b"nothing")
    code, errors, log = failed("compute_info_maps", places, capfd)
    assert code == 2 and "3.png): picture cannot be decoded" in errors[0] and len(errors) == 1
    assert "Connection closed" not in log and not list(Path().glob("*compute_info_maps 2*"))


def test_an_error_of_all_processes_is_reported_once(places: Places, capfd: pytest.CaptureFixture[str]) -> None:
    (places["student"] / "model.safetensors").unlink()
    code, errors, _ = failed("evaluate", places, capfd)
    assert code == 2 and "model.safetensors: is missing" in errors[0] and len(errors) == 1


def failed(step: str, places: Places, capfd: pytest.CaptureFixture[str]) -> tuple[object, list[str], str]:
    """The exit code of a step in two processes, its error lines, and all that it printed to stderr."""
    with pytest.raises(SystemExit) as ended:
        compute(step, places, 2)
    log = capfd.readouterr().err
    return ended.value.code, [line for line in log.splitlines() if line.startswith("error: ")], log
