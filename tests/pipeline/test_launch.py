import functools
import json
import operator
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2

from components.params.load import RENAMED, load_params
from components.runtime.command import SECTIONS
from kd.errors import InputError
from kd.files import digest, write_json
from kd.model.store import load_spec
from pipeline import launch, restarts
from tests.components.random_networks import SIDE
from tests.components.stores import new_store
from tests.components.trained import CLASSES, write_outputs

ROOT = Path(__file__).parents[2]
ANCHORS = {"yolov3-tiny": {"16": [[10, 14], [23, 27], [37, 58]], "32": [[40, 41], [45, 42], [50, 52]]}}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder like the image's, with parameters and an empty store."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    new_store(tmp_path)
    return tmp_path


def artifact(path: Path) -> Any:
    return SimpleNamespace(path=str(path), metadata={})


def through_kubeflow(section: dict[str, Any]) -> dict[str, Any]:
    """What a section becomes on its way as a protobuf Struct."""
    struct = struct_pb2.Struct()
    struct.update(section)
    return {name: json_format.MessageToDict(value) for name, value in struct.fields.items()}


def sections(step: str) -> dict[str, Any]:
    dumped = load_params().model_dump(mode="json")
    return {name: through_kubeflow(dumped[name]) if isinstance(dumped[name], dict) else dumped[name] for name in SECTIONS[step]}


@pytest.mark.parametrize("step", sorted(set(SECTIONS) - {"compose_scenes"}))
def test_parameters_survive_the_way_through_kubeflow(step: str) -> None:
    given = sections(step)
    assert launch.parse_sections(given) == load_params()
    assert launch.parse_sections(given).digest() == load_params().digest()


def test_a_section_replaces_the_working_folders() -> None:
    given = sections("train_teacher")
    given["teacher"]["train"]["epochs"] = 5.0
    params = launch.parse_sections(given)
    assert params.teacher.train.epochs == 5 and params.student == load_params().student


@pytest.mark.parametrize(("key", "value", "told"), [("epochs", 2.5, "teacher.train.epochs' is 2.5"), ("epoch", 2.0, "unknown parameter")])
def test_a_wrong_parameter_is_named(key: str, value: float, told: str) -> None:
    given = sections("train_teacher")
    given["teacher"]["train"][key] = value
    with pytest.raises(InputError, match=told):
        launch.parse_sections(given)


@pytest.mark.parametrize("old", RENAMED)
def test_the_error_for_an_old_key_in_a_schedule_names_the_new_one(old: str) -> None:
    given: Any = sections("register_model")
    *path, old_key = old.split(".")
    section = functools.reduce(operator.getitem, path, given)
    section[old_key] = section.pop(RENAMED[old].split(".")[-1])
    with pytest.raises(InputError, match=re.escape(f"the pipeline's parameters: parameter '{old}' is now called '{RENAMED[old]}'")):
        launch.parse_sections(given)


def test_a_step_runs_on_artifacts_and_is_signed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDFLOW_GIT_COMMIT", "abc123")
    places = write_outputs(project / "elsewhere")
    output = artifact(project / "store/maps")
    inputs = {name: artifact(places[name]) for name in ("data", "teacher")}
    result = launch.launch_step("compute_info_maps", {"info_maps": {"method": "activation", "batch": 4.0}}, inputs, output)
    assert result == digest(Path(output.path)) == output.metadata["digest"]
    assert output.metadata["git_commit"] == "abc123"
    assert json.loads((Path(output.path) / "index.json").read_text())["method"] == "activation"
    again = launch.launch_step("compute_info_maps", {"info_maps": {"method": "activation", "batch": 4.0}}, inputs, output)
    assert again == result, "a retried task replaces its own output"


def test_wrong_input_ends_a_task_in_one_line_and_leaves_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = artifact(project / "store/maps")
    inputs = {name: artifact(project / "nowhere") for name in ("data", "teacher")}
    with pytest.raises(SystemExit) as exit:
        launch.launch_step("compute_info_maps", sections("compute_info_maps"), inputs, output)
    errors = capsys.readouterr().err
    assert exit.value.code == 2 and errors.startswith("error: ") and errors.count("\n") == 1
    assert not Path(output.path).exists()


def test_the_processes_of_a_training_share_the_threads(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(launch, "run_with_restarts", lambda command, title, restarts, environment: started.append(environment))
    for threads, processes in ((8, 2), (8, 3), (1, 2)):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        launch.run_processes("train_baseline", load_params(), {}, processes)
    assert [env["OMP_NUM_THREADS"] for env in started] == ["4", "2", "1"]


def test_a_node_without_gpu_trains_in_one_process(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = artifact(project / "model")
    write_json(project / "data/summary.json", {})
    monkeypatch.setenv("KDFLOW_RESTARTS", "2")
    monkeypatch.setattr(launch, "gpu_count", lambda: 0)
    commands = []

    def run(command: list[str], title: str, restarts: int, environment: dict[str, str]) -> None:
        commands.append(command)
        write_json(Path(output.path) / "model.json", {})

    monkeypatch.setattr(launch, "run_with_restarts", run)
    launch.launch_step("train_baseline", sections("train_baseline"), {"data": artifact(project / "data")}, output)
    (command,) = commands
    assert command[1:3] == ["-m", "components.train_baseline"] and output.metadata["digest"] == digest(project / "model")


@pytest.mark.parametrize("step", sorted(set(SECTIONS) - {"compose_scenes", "fetch_weights", "prepare_data", "resolve_unlabelled"}))
def test_the_steps_with_a_gpu_start_one_process_per_gpu(step: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(launch, "gpu_count", lambda: 4)
    monkeypatch.setattr(launch, "run_processes", lambda step, params, paths, processes: started.append(processes))
    launch.launch_step(step, sections(step), {}, artifact(project / "out"))
    assert started == [1 if step == "register_model" else 4]


def test_evaluation_publishes_scores_and_report(project: Path) -> None:
    places = write_outputs(project / "elsewhere")
    output, report = artifact(project / "store/metrics"), artifact(project / "store/report")
    result = launch.launch_evaluate(sections("evaluate"), {name: artifact(place) for name, place in places.items()}, output, report)
    scores = json.loads((Path(output.path) / "metrics.json").read_text())
    names = {f"{score} {model} (points)" for score in ("mAP50", "mAP") for model in ("teacher", "baseline", "student", "gain")}
    assert output.metadata.keys() == names, "one page in Kubeflow, and nothing but scores"
    assert output.metadata["mAP50 student (points)"] == round(100 * scores["student"]["map50"], 1)
    assert output.metadata["mAP gain (points)"] == round(100 * scores["gain"]["map"], 1)
    assert "<html" in Path(report.path).read_text() and not (Path(output.path) / "report.html").exists(), "the report is stored once"
    shutil.copy(report.path, Path(output.path) / "report.html")
    assert report.metadata["digest"] == result == digest(Path(output.path)), "the digest is that of dvc repro's folder"
    launch.launch_evaluate(sections("evaluate"), {name: artifact(place) for name, place in places.items()}, output, report)


def test_evaluation_without_a_baseline(project: Path) -> None:
    places = write_outputs(project / "elsewhere")
    inputs = {name: artifact(place) for name, place in places.items()} | {"baseline": None}
    output, report = artifact(project / "store/metrics"), artifact(project / "store/report")
    launch.launch_evaluate(sections("evaluate"), inputs, output, report)
    assert set(json.loads((Path(output.path) / "metrics.json").read_text())) == {"teacher", "student"}
    assert not any("baseline" in name or "gain" in name for name in output.metadata) and len(output.metadata) == 4


def test_a_skipped_step_says_so_and_has_no_digest(project: Path) -> None:
    output = artifact(project / "store/model")
    assert not launch.is_skipped(output)
    assert launch.skip(output) == "" and "digest" not in output.metadata and launch.is_skipped(output)
    assert [file.name for file in Path(output.path).iterdir()] == ["skipped.json"]


def test_a_run_from_kubeflows_form_needs_a_repository(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDFLOW_CLUSTER", "true")
    log = project / "termination-log"
    log.touch()
    monkeypatch.setenv("KDFLOW_TERMINATION_LOG", str(log))
    with pytest.raises(SystemExit) as exit:
        launch.resolve_versions(sections("register_model"), "", "main")
    assert exit.value.code == 2
    assert log.read_text() == "error: data_repo: is empty; enter the address of the git repository in which DVC tracks data.path\n"


def test_data_in_a_folder_are_known_by_content(project: Path) -> None:
    (project / "mine").mkdir()
    given = sections("register_model")
    given["data"]["path"] = "mine"
    (project / "mine/a.txt").write_text("one")
    first = launch.resolve_versions(given, "", "")
    assert launch.resolve_versions(given, "", "") == first and first[1:] == ("", "")
    (project / "mine/a.txt").write_text("two")
    assert launch.resolve_versions(given, "", "") != first


def test_data_that_change_while_the_pipeline_runs_are_refused(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDFLOW_EXECUTION", "one")
    (project / "mine").mkdir()
    data = sections("prepare_data")["data"] | {"path": "mine"}
    with pytest.raises(SystemExit) as exit:
        launch.launch_prepare_data(data, "any", artifact(project / "out"))
    assert exit.value.code == 2 and "does not name the data's repository; start the pipeline again" in capsys.readouterr().err
    version, *_ = launch.resolve_versions(sections("register_model") | {"data": data}, "", "")
    (project / "mine/a.txt").write_text("one more")
    with pytest.raises(SystemExit) as exit:
        launch.launch_prepare_data(data, version, artifact(project / "out"))
    assert exit.value.code == 2 and f"changed from {version}" in capsys.readouterr().err


def test_pictures_without_labels_that_change_while_the_pipeline_runs_are_refused(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDFLOW_EXECUTION", "one")
    for folder in ("mine", "more"):
        (project / folder).mkdir()
        (project / folder / "a.txt").write_text(folder)
    data = sections("prepare_data")["data"] | {"path": "mine", "unlabelled": "more"}
    version, *_ = launch.resolve_versions(sections("register_model") | {"data": data}, "", "")
    assert version == f"{digest(project / 'mine')} {digest(project / 'more')}"
    (project / "more/b.txt").write_text("one more")
    with pytest.raises(SystemExit) as exit:
        launch.launch_prepare_data(data, version, artifact(project / "out"))
    assert exit.value.code == 2 and f"changed from {version}" in capsys.readouterr().err


@pytest.mark.parametrize(("variables", "remedy"), [({}, "--no-cache"), ({"KDFLOW_CLUSTER": "true"}, "build the image from a new commit")])
def test_a_cached_artifact_that_was_deleted_is_named(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], remedy: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (project / "data").mkdir()
    with pytest.raises(SystemExit) as exit:
        launch.launch_step("train_teacher", sections("train_teacher"), {"data": artifact(project / "data")}, artifact(project / "out"))
    error = capsys.readouterr().err
    assert exit.value.code == 2 and error.startswith(f"error: data: {project}/data has no files: a cached artifact was deleted")
    assert remedy in error and error.count("\n") == 1


@pytest.mark.slow
def test_a_training_runs_in_several_processes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    data = write_outputs(project / "elsewhere")["data"]
    summary = json.loads((data / "summary.json").read_text())
    write_json(data / "summary.json", summary | {"anchors": ANCHORS})
    changes = ("student.train.epochs=1", "student.train.batch=4", "student.width=0.0625", "student.train.precision=fp32")
    params = load_params(overrides=changes)
    launch.run_processes("train_baseline", params, {"data": data, "output": project / "model"}, processes=2)
    spec = load_spec(project / "model/model.safetensors")
    assert spec.classes == tuple(CLASSES) and spec.image_size == SIDE
    assert (project / "model/history.csv").read_text().count("\n") == 2


@pytest.mark.slow
def test_a_killed_training_resumes_in_its_pod_and_ends_with_the_same_bytes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first child kills itself as soon as it has saved a checkpoint."""
    monkeypatch.setattr(restarts, "PAUSE", 0.0)
    (project / "sitecustomize.py").write_text(
        "import os, pathlib, signal, threading, time\n"
        "def watch():\n"
        "    while not list(pathlib.Path('.checkpoints').glob('*.pt')): time.sleep(0.01)\n"
        "    pathlib.Path('killed').touch(exist_ok=False)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "if not os.path.exists('killed'): threading.Thread(target=watch, daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{project}:{ROOT}")
    data = write_outputs(project / "elsewhere")["data"]
    summary = json.loads((data / "summary.json").read_text())
    write_json(data / "summary.json", summary | {"anchors": ANCHORS})
    changes = ("student.train.epochs=3", "student.train.batch=4", "student.width=0.0625", "student.train.precision=fp32")
    params = load_params(overrides=changes)
    monkeypatch.setenv("KDFLOW_RESTARTS", "2")
    launch.run_processes("train_baseline", params, {"data": data, "output": project / "restarted"}, processes=1)
    assert (project / "killed").exists()
    launch.run_processes("train_baseline", params, {"data": data, "output": project / "undisturbed"}, processes=1)
    assert digest(project / "restarted") == digest(project / "undisturbed")
