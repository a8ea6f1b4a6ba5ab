"""What a served model records about its pictures, and the metrics for Prometheus."""

import json
import threading
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pytest
from PIL import Image

from components.register_model import serving_log
from components.register_model.served_model import Detections
from components.register_model.serving_log import PredictionRecorder, ServingLog, read_metrics
from kd.files import digest
from tests.components.packaged import model_folder, picture_files

SETTINGS = {"confidence": 0.25, "nms_iou": 0.5, "most": 10}


def record(**changes: object) -> dict[str, object]:
    return {"brightness": 0.25, "scores": [0.3, 0.95], "box_sizes": [0.1, 0.5], "classes": ["cat", "cat"], **changes}


def test_a_record_has_sizes_as_shares_of_the_picture_and_brightness_of_the_pixels() -> None:
    recorder = PredictionRecorder(("cat", "dog"), "abc", SETTINGS)
    boxes = np.array([[0, 0, 100, 50], [10, 10, 20, 20]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.5], np.float32), np.array([1, 0]))
    recorder(np.full((5, 10, 3), 51, np.uint8), (200, 100), found)
    assert recorder.records == [
        {
            "brightness": 0.2, "scores": [0.9, 0.5], "box_sizes": [0.5, 0.0707], "classes": ["dog", "cat"],
            "model": "abc", "settings": SETTINGS,
        }
    ]  # fmt: skip


def test_metrics_are_the_totals_of_all_records_in_the_format_of_prometheus(tmp_path: Path) -> None:
    log = ServingLog(tmp_path / "log.jsonl")
    log.append([record(), record(classes=['a "b"\\'], scores=[0.4], box_sizes=[1])])
    ServingLog(tmp_path / "log.jsonl").append([record(scores=[], box_sizes=[], classes=[])])
    text = (tmp_path / "log.prom").read_text()
    assert text.startswith("# TYPE kdflow_pictures_total counter\nkdflow_pictures_total 3\n")
    assert '\nkdflow_detections_total{class="cat"} 2\n' in text and '\nkdflow_detections_total{class="a \\"b\\"\\\\"} 1\n' in text
    assert '\n# TYPE kdflow_score histogram\nkdflow_score_bucket{le="0.3"} 1\nkdflow_score_bucket{le="0.4"} 2\n' in text
    assert '\nkdflow_score_bucket{le="+Inf"} 3\nkdflow_score_sum 1.65\nkdflow_score_count 3\n' in text
    assert '\nkdflow_detections_bucket{le="0"} 1\n' in text and "\nkdflow_brightness_count 3\n" in text
    families = [line.split()[2] for line in text.splitlines() if line.startswith("#")]
    assert len(families) == len(set(families)) == 6 and not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("name", ["a\rb", "a\u2028b", "a\x85b", "a\nb", 'a "b" c'])
def test_metrics_of_any_class_name_are_read_again(name: str, tmp_path: Path) -> None:
    log = ServingLog(tmp_path / "log.jsonl")
    for _ in range(2):
        log.append([record(classes=[name], scores=[0.4], box_sizes=[1])])
    [counted] = [value for series, value in read_metrics(log.metrics).items() if series.startswith("kdflow_detections_total")]
    assert counted == 2


def test_a_log_with_the_name_of_the_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"log\.prom: has the suffix of the metrics"):
        ServingLog(tmp_path / "log.prom")
    assert not list(tmp_path.iterdir())


def test_threads_lose_no_record(tmp_path: Path) -> None:
    log = ServingLog(tmp_path / "log.jsonl")
    threads = [threading.Thread(target=lambda: [log.append([record()]) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([json.loads(line) for line in log.path.read_text().splitlines()]) == 80
    assert read_metrics(log.metrics)["kdflow_pictures_total"] == 80


def test_a_served_model_logs_only_if_the_variable_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> mlflow.pyfunc.PyFuncModel:
        return mlflow.pyfunc.load_model(str(model_folder() / "package"))

    pictures = [file.read_bytes() for file in picture_files()[:2]]
    expected = load().predict({"picture": pictures})
    monkeypatch.setenv("KDFLOW_SERVING_LOG", str(tmp_path / "log.jsonl"))
    model = load()
    assert model.predict({"picture": pictures}) == expected
    first, second = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert first["scores"] == pytest.approx(expected[0]["scores"], abs=1e-4) and second["classes"] == expected[1]["classes"]
    assert first["settings"] == {"confidence": 0.4, "nms_iou": 0.5, "most": 50}
    assert first["model"] == digest(model_folder() / "student.onnx") and first["time"] > 1.7e9
    brightness = np.asarray(Image.open(picture_files()[0]).convert("RGB")).mean() / 255
    assert first["brightness"] == pytest.approx(brightness, abs=0.01), "without the grey border"


def test_a_log_that_cannot_be_written_stops_the_start_but_no_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDFLOW_SERVING_LOG", str(tmp_path / "folder/log.jsonl"))
    with pytest.raises(FileNotFoundError):
        mlflow.pyfunc.load_model(str(model_folder() / "package"))
    (tmp_path / "folder").mkdir()
    model = mlflow.pyfunc.load_model(str(model_folder() / "package"))
    (tmp_path / "folder/log.prom").write_text("damaged metrics\n")
    assert model.predict({"picture": [picture_files()[0].read_bytes()]})


def test_the_module_imports_nothing_of_this_project() -> None:
    source = Path(serving_log.__file__).read_text()
    assert "import kd" not in source and "from kd" not in source and "components" not in source.partition('"""\n')[2]
