"""The command `kdflow monitor`: its exit codes, its sources, and one-line errors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.monitor.command import main
from components.register_model.reference import make_reference, record_pictures
from components.register_model.registry import REFERENCE_FILE, Registry
from components.register_model.serving_log import ServingLog
from kd.data.dataset import DetectionData
from kd.detection.evaluate import NMSConfig
from kd.files import write_json
from tests.components.stores import enter_project, new_store
from tests.components.stub_models import PICTURES, create_run, write_data, write_model
from tests.packed import replace_picture

Command = Callable[..., tuple[int | None, str]]


@pytest.fixture
def monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in a folder with a log of 120 pictures and their reference; gives its exit code and output."""
    enter_project(tmp_path, monkeypatch)
    write_data(Path("data"))
    split = DetectionData(Path("data/test"), 64)
    pictures = [split.picture(index) for index in range(PICTURES)] * 3
    recorder = record_pictures(write_model(Path("a.onnx"), (0.5, 0.8)), pictures, NMSConfig(0.25, 0.6, 100))
    write_json(Path("reference.json"), make_reference(recorder))
    ServingLog(Path("log.jsonl")).append(recorder.records)

    def run(*arguments: str) -> tuple[int | None, str]:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        return caught.value.code, "".join(capsys.readouterr())  # type: ignore[return-value]

    return run


def edit(**changes: Any) -> None:
    """FeatureDrift every record of the log."""
    lines = [json.dumps(json.loads(line) | changes) for line in Path("log.jsonl").read_text().splitlines()]
    Path("log.jsonl").write_text("".join(f"{line}\n" for line in lines))


def test_the_same_pictures_do_not_drift(monitor: Command) -> None:
    code, out = monitor("log.jsonl", "reference.json")
    assert code == 0 and "\nno drift\n" in out and "120 pictures, compared with 120 test pictures" in out


def test_a_missing_class_is_drift_and_json_has_the_numbers(monitor: Command) -> None:
    edit(classes=["cat"], scores=[0.9], box_sizes=[0.4])
    code, out = monitor("log.jsonl", "reference.json")
    assert code == 1 and "pictures with dog" in out.splitlines()[-1] and out.splitlines()[-1].startswith("drift: ")
    code, out = monitor("log.jsonl", "reference.json", "--json")
    content = json.loads(out)
    [dog] = [feature for feature in content["features"] if feature["feature"] == "pictures with dog"]
    assert code == 1 and content["drift"] and dog["drift"] and dog["psi"] > 0.25 and dog["actual"] == [0, 1]
    assert monitor("log.jsonl", "reference.json", "--threshold", "100")[0] == 0


def test_only_the_newest_pictures_of_this_model_and_its_settings_are_compared(monitor: Command) -> None:
    own = Path("log.jsonl").read_text()
    edit(model="other", brightness=0.0)
    other_model = Path("log.jsonl").read_text()
    Path("log.jsonl").write_text(own)
    edit(settings={"confidence": 0.9, "nms_iou": 0.6, "most": 100}, brightness=0.0)
    other_settings = Path("log.jsonl").read_text()
    Path("log.jsonl").write_text(other_model + own + other_settings + '{"time": 1, "unfini')
    code, out = monitor("log.jsonl", "reference.json")
    assert code == 0 and "120 of another model and 120 with other parameters are left out" in out
    assert "110 pictures, compared" in monitor("log.jsonl", "reference.json", "--newest", "110")[1]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[" * 100_000, "log.jsonl, line 121: is not JSON"),
        ("{}", "log.jsonl, line 121: is no record of a picture (time: Field required); remove the line"),
        ('{"time": NaN}', "log.jsonl, line 121: is no record of a picture (time: Input should be a finite number)"),
        ("7", "log.jsonl, line 121: is no record of a picture (it: "),
    ],
)
def test_a_line_that_is_no_record_is_named(line: str, problem: str, monitor: Command) -> None:
    with Path("log.jsonl").open("a") as file:
        file.write(f"{line}\n")
    code, out = monitor("log.jsonl", "reference.json")
    assert code == 2 and out.startswith(f"error: {problem}") and out.count("\n") == 1


def test_too_few_pictures_are_an_error_that_gives_the_least_number(monitor: Command) -> None:
    Path("log.jsonl").write_text("\n".join(Path("log.jsonl").read_text().splitlines()[:99]) + "\n")
    code, out = monitor("log.jsonl", "reference.json")
    assert code == 2 and out.startswith("error: log.jsonl: has 99 pictures to compare, fewer than 100 (0 of another model")
    write_json(Path("small.json"), json.loads(Path("reference.json").read_text()) | {"pictures": 40})
    assert "small.json: is of 40 test pictures, fewer than 100; raise data.test" in monitor("log.jsonl", "small.json")[1]


@pytest.mark.parametrize("content", ["{}", "[]", "7", '{"format": 2}'])
def test_a_file_that_is_no_reference_is_an_error(content: str, monitor: Command) -> None:
    Path("wrong.json").write_text(content)
    code, out = monitor("log.jsonl", "wrong.json")
    assert code == 2 and out.startswith("error: wrong.json: is not a monitoring reference (") and out.count("\n") == 1
    assert monitor("log.jsonl", "missing.json")[1].startswith("error: missing.json: is missing")
    assert monitor("missing.jsonl", "reference.json") == (
        2, "error: missing.jsonl: is missing; give the file in KDFLOW_SERVING_LOG of the server\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"histograms": {"score": {"edges": [], "counts": [120]}, "other": {"edges": [], "counts": [120]}}},
            "a feature or a class is missing",
        ),
        ({"pictures_with": {"cat": 121, "dog": 0}}, "a class has fewer than 0 objects, or is in more pictures than there are"),
        ({"objects": {"cat": -1, "dog": 0}}, "a class has fewer than 0 objects, or is in more pictures than there are"),
    ],
)
def test_a_reference_that_contradicts_itself_is_an_error(changes: dict[str, Any], problem: str, monitor: Command) -> None:
    write_json(Path("wrong.json"), json.loads(Path("reference.json").read_text()) | changes)
    expected = f"error: wrong.json: is not a monitoring reference (it: {problem}); give that of a registered version\n"
    assert monitor("log.jsonl", "wrong.json") == (2, expected)


def test_options_beyond_their_limits_are_an_error(monitor: Command) -> None:
    code, out = monitor("log.jsonl", "reference.json", "--newest", "99")
    assert (code, out) == (2, "error: --newest: is 99, but a comparison needs 100 pictures; raise it\n")
    for value in ("nan", "inf", "-0.1", "much"):
        code, out = monitor("log.jsonl", "reference.json", f"--threshold={value}")
        assert code == 2 and "argument --threshold: " in out and "Traceback" not in out


def test_versions_of_the_registry(monitor: Command, tmp_path: Path) -> None:
    assert "mlflow.db: is missing, so there is no registry here" in monitor("log.jsonl")[1]
    new_store(tmp_path)
    registry = Registry("kdflow-student")
    registry.register(Path("a.onnx"), create_run(), {}, {REFERENCE_FILE: Path("reference.json")})
    assert "monitoring_reference.json" in json.loads(registry.version("1").tags["kdflow.files"])
    registry.client.set_registered_model_alias("kdflow-student", "champion", "1")
    for name in ((), ("1",), ("models:/kdflow-student/1",), ("models:/kdflow-student@champion",)):
        code, out = monitor("log.jsonl", *name)
        assert code == 0 and "no drift" in out
    [stored] = tmp_path.glob("mlruns/**/monitoring_reference.json")
    stored.write_text("{}")
    code, out = monitor("log.jsonl", "1")
    assert code == 2 and "file 'monitoring_reference.json' is not the registered one" in out


def test_a_version_of_an_older_release_has_none_and_the_remedy_works(monitor: Command, tmp_path: Path) -> None:
    new_store(tmp_path)
    Registry("kdflow-student").register(Path("a.onnx"), create_run(), {})
    code, out = monitor("log.jsonl", "1")
    assert code == 2 and "version 1: has no monitoring_reference.json, because an older release registered it; add --data" in out
    assert "is of 40 test pictures, fewer than 100" in monitor("log.jsonl", "1", "--data", "data")[1]
    replace_picture(Path("data/test"), "7.png", b"nothing")
    code, out = monitor("log.jsonl", "1", "--data", "data")
    assert code == 2 and "pictures-00000.tar, 8.png (7.png) cannot be decoded: " in out and "; run prepare_data again\n" in out
