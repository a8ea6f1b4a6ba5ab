"""The checks in a pod."""

import json
import subprocess

import pytest

from pipeline.doctor import in_cluster, pod
from tests.pipeline.conftest import IMAGE
from tests.pipeline.runs import pod_of, workflow_of


@pytest.fixture
def in_pod(kfp, monkeypatch):
    """Lets the server run the step of --in-cluster when its run is asked for: here, in this process."""
    monkeypatch.setattr(in_cluster, "PAUSE", 0)

    def run(output):
        kfp.workflows = [workflow_of(check_cluster=["Succeeded"])]
        kfp.archive[pod_of("check_cluster", 0)] = f"a line of the launcher\n{output}"
        kfp.progress = [{"state": "RUNNING"}, {"state": "SUCCEEDED"}]

    return run


def test_a_pod_checks_what_only_it_sees(cluster, kfp, command, in_pod, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("KDFLOW_CHECKPOINTS", str(tmp_path))
    pod.print_checks("data/mine", "", ["kdflow-student"], ["", ""], "", "")
    monkeypatch.delenv("KDFLOW_CHECKPOINTS")
    in_pod(capsys.readouterr().out)
    done = command("doctor", "--in-cluster", "--image", IMAGE)
    assert done.code == 0, done.err
    assert f"ok      pod: ran {IMAGE}\nok      checkpoints writable: {tmp_path}\n" in done.out
    (run,) = kfp.runs.values()
    spec, platform = run["pipeline_spec"]["pipeline_spec"], run["pipeline_spec"]["platform_spec"]
    (container,) = [executor["container"] for executor in spec["deploymentSpec"]["executors"].values()]
    assert container["image"] == IMAGE and "data/mine" not in str(container)
    (settings,) = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    assert settings["pvcMount"] and settings["secretAsEnv"] and run["service_account"] == "default-editor"


def test_the_command_of_the_pod(cluster, kfp, command, in_pod, tmp_path):
    in_pod("")
    command("doctor", "--in-cluster", "--image", IMAGE)
    (run,) = kfp.runs.values()
    (executor,) = run["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"].values()
    inputs = {
        "path": str(tmp_path),
        "unlabelled": "",
        "models": ["kdflow-student"],
        "weights": ["darknet53.conv.74", ""],
        "repo": "",
        "rev": "",
    }
    executor_input = json.dumps({"inputs": {"parameterValues": inputs}, "outputs": {"outputFile": str(tmp_path / "output.json")}})
    words = [*executor["container"]["command"], *executor["container"]["args"]]
    done = subprocess.run([word.replace("{{$}}", executor_input) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(pod.PREFIX)]
    assert [name for name, *_ in json.loads(line.removeprefix(pod.PREFIX))] == [
        "checkpoints writable",
        "MLflow",
        "data repository",
        "initial weights darknet53.conv.74",
    ]


def test_a_pod_that_says_nothing_or_never_ends(cluster, kfp, command, in_pod, monkeypatch):
    in_pod("Traceback")
    done = command("doctor", "--in-cluster", "--image", IMAGE)
    assert done.code == 1 and "fault   pod: ended without a result" in done.out
    monkeypatch.setattr(in_cluster, "MAX_POLLS", 2)
    kfp.progress = [{"state": "RUNNING"}] * 2
    done = command("doctor", "--in-cluster", "--image", IMAGE)
    assert done.code == 1 and "fault   pod: has not ended" in done.out
    assert any(request.endswith(":terminate") for request in kfp.requests)


def test_a_server_that_is_away_for_a_moment_is_asked_again(cluster, kfp, command, in_pod):
    in_pod(f"{pod.PREFIX}[]")
    asked = []

    def fail_every_other(number, request):
        if not request.startswith("GET") or "/runs/" not in request or "/nodes/" in request:
            return None
        asked.append(request)
        return 500 if len(asked) % 2 else None

    kfp.fault = fail_every_other
    done = command("doctor", "--in-cluster", "--image", IMAGE)
    assert done.code == 0 and f"ok      pod: ran {IMAGE}\n" in done.out, done.out
    kfp.fault = lambda number, request: 500 if request.startswith("GET") and "/runs/" in request else None
    in_pod(f"{pod.PREFIX}[]")
    done = command("doctor", "--in-cluster", "--image", IMAGE)
    assert done.code == 1 and "fault   pod: answers 500" in done.out


def test_the_pod_gets_the_models_and_weights_of_the_parameters(cluster, kfp, command, in_pod):
    in_pod(f"{pod.PREFIX}[]")
    changes = ("register_model.teacher=kdflow-teacher", "student.init=models:/kdflow-student@champion?")
    command("doctor", "--in-cluster", "--image", IMAGE, *(word for change in changes for word in ("--set", change)))
    (run,) = kfp.runs.values()
    parameters = run["runtime_config"]["parameters"]
    assert parameters["models"] == ["kdflow-student", "kdflow-teacher"]
    assert parameters["weights"] == ["", "models:/kdflow-student@champion?"]


def test_a_pod_needs_an_image(cluster, kfp, command):
    done = command("doctor", "--in-cluster")
    assert done.code == 2 and done.err.startswith("error: --in-cluster: needs an image") and not kfp.requests
