"""The trials of the monitor, with random records instead of a trained model."""

from benchmarks.monitor import RecordedPictures, count_drifts, without_class
from components.register_model.serving_log import PredictionRecorder
from tests.components.monitor.test_drift import CLASSES, pictures

UNCHANGED = pictures(400, 0)


def test_each_kind_of_pictures_drifts_but_the_unchanged_ones() -> None:
    darker = [{**record, "brightness": record["brightness"] / 2} for record in UNCHANGED]
    present = [set(record["classes"]) for record in UNCHANGED]
    drifts = count_drifts(RecordedPictures(UNCHANGED, darker, present, PredictionRecorder(CLASSES, "", {})), 100, 6)
    assert drifts == {
        "unchanged": 0, "at half brightness": 6, "without the objects of a class": 6, "without the detections of a class": 6
    }  # fmt: skip


def test_only_the_detections_of_the_class_are_removed() -> None:
    record = {"brightness": 0.5, "scores": [0.9, 0.8, 0.7], "box_sizes": [0.1, 0.2, 0.3], "classes": ["cat", "dog", "cat"]}
    assert without_class(record, "cat") == {"brightness": 0.5, "scores": [0.8], "box_sizes": [0.2], "classes": ["dog"]}
