"""Each check of `doctor`: what is in order, and each fault that a cluster may have."""

import base64
import io
import json
import re
import subprocess
import time

import pytest
from rich.console import Console

from pipeline.cluster import load_cluster
from pipeline.doctor import in_cluster, kubernetes
from pipeline.doctor.check import Check, attempt
from pipeline.doctor.command import doctor_table
from pipeline.doctor.kubernetes import check_kubernetes
from pipeline.doctor.pod import check_data, check_mlflow, check_volume
from pipeline.pods import Certificates, NodeAffinity
from tests.pipeline.conftest import IMAGE
from tests.pipeline.kubernetes_server import serving_kubernetes, use_kubeconfig
from tests.pipeline.runs import pod_of, workflow_of

USER = "kubeflow-user"
CORE = f"/api/v1/namespaces/{USER}"
SECRET, SETTINGS = f"{CORE}/secrets/kdflow-credentials", f"{CORE}/configmaps/kdflow-settings"
CLAIM, ACCOUNT, NODES = f"{CORE}/persistentvolumeclaims/kdflow-checkpoints", f"{CORE}/serviceaccounts/default-editor", "/api/v1/nodes"
CONTROLLER = "/api/v1/namespaces/kubeflow/configmaps/workflow-controller-configmap"
DEFAULTS = """
spec:
  ttlStrategy: {secondsAfterSuccess: 3600, secondsAfterFailure: 3600}
  templateDefaults:
    retryStrategy: {limit: '2', retryPolicy: Always, expression: 'lastRetry.status == "Error"'}
"""
NODE = {
    "metadata": {"name": "gpu-1", "labels": {"pool": "gpus"}},
    "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
    "status": {"allocatable": {"nvidia.com/gpu": "1"}},
}


def secret(**values):
    return {"metadata": {"name": "s"}, "data": {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A Kubernetes in which everything is in order."""
    for name in ("MLFLOW_TRACKING_URI", "KDFLOW_CHECKPOINTS", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    with serving_kubernetes(tmp_path) as server:
        use_kubeconfig(monkeypatch, server.kubeconfig)
        server.objects = {
            SECRET: secret(AWS_ACCESS_KEY_ID="the-id", AWS_SECRET_ACCESS_KEY="the-key"),
            SETTINGS: {"data": {"MLFLOW_TRACKING_URI": "http://m:5000", "AWS_ENDPOINT_URL": "http://s3", "AWS_DEFAULT_REGION": "r"}},
            CLAIM: {"spec": {"accessModes": ["ReadWriteMany"]}, "status": {"phase": "Bound"}},
            ACCOUNT: {"metadata": {"name": "default-editor"}},
            NODES: {"items": [NODE, {"metadata": {}, "spec": {}, "status": {}}]},
            CONTROLLER: {"data": {"workflowDefaults": DEFAULTS}},
        }
        yield server


def checks():
    return {check.name: check for check in check_kubernetes(load_cluster(), USER)}


def test_everything_is_in_order_and_no_value_is_shown(cluster, kfp, command):
    command("schedule", "--cron", "@weekly")
    done = command("doctor")
    assert done.code == 0, done.out
    assert {check.state for check in checks().values()} == {"ok"}
    for part in (
        "version 2.17.0, for several users",
        "has AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
        "is bound, ReadWriteMany",
        "'kdflow'",
    ):
        assert part in done.out
    assert "the-key" not in done.out and "the-id" not in done.out and "fault  " not in done.out
    assert "use --in-cluster" in done.out, "what only a pod sees is marked"


def test_a_table_in_a_terminal():
    screen = io.StringIO()
    Console(file=screen, force_terminal=True, width=99).print(doctor_table([Check("[claim]", "fault", "is Pending", "wait")]))
    assert re.search(r"\[claim\].*fault.*is Pending.*wait", screen.getvalue())


@pytest.mark.parametrize(
    "path, content, name, found",
    [
        (SECRET, None, "secret kdflow-credentials", "does not exist"),
        (SECRET, secret(AWS_ACCESS_KEY_ID="the-id"), "secret kdflow-credentials", "has no value for AWS_SECRET_ACCESS_KEY"),
        (
            SECRET,
            secret(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="x"),
            "secret kdflow-credentials",
            "has no value for AWS_ACCESS_KEY_ID",
        ),
        (SETTINGS, {"data": None}, "config map kdflow-settings", "has no value for MLFLOW_TRACKING_URI"),
        (CLAIM, {"spec": {}, "status": {"phase": "Pending"}}, "claim kdflow-checkpoints", "is Pending"),
        (ACCOUNT, None, "account default-editor", "does not exist"),
        (NODES, {"items": []}, "GPU nodes", "none of 0 nodes fits train_teacher, train_baseline"),
        (NODES, {"items": [NODE | {"status": {"allocatable": {"nvidia.com/gpu": "0"}}}]}, "GPU nodes", "none of 1 nodes"),
        (NODES, {"items": [NODE | {"spec": {"taints": [{"key": "spot", "effect": "NoSchedule"}]}}]}, "GPU nodes", "none of 1 nodes"),
    ],
)
def test_faults(cluster, kfp, command, path, content, name, found):
    cluster.objects[path] = content
    if content is None:
        del cluster.objects[path]
    check = checks()[name]
    assert check.state == "fault" and check.detail.startswith(found) and check.remedy
    done = command("doctor")
    assert done.code == 1 and check.detail[:30] in done.out and "the-id" not in done.out


def test_a_node_needs_the_labels_of_the_selector(cluster):
    settings = load_cluster()
    for step in settings.steps.values():
        step.node_selector["pool"] = "others"
    assert {check.name: check for check in check_kubernetes(settings, USER)}["GPU nodes"].state == "fault"


@pytest.mark.parametrize(
    "operator, values, state",
    [
        ("In", ["gpus"], "ok"), ("In", ["x"], "fault"), ("NotIn", ["gpus"], "fault"), ("NotIn", ["x"], "ok"),
        ("Exists", [], "ok"), ("DoesNotExist", [], "fault"),
    ],
)  # fmt: skip
def test_a_node_needs_the_labels_of_the_affinity(cluster, operator, values, state):
    settings = load_cluster()
    for step in settings.steps.values():
        step.node_affinity.append(NodeAffinity(key="pool", operator=operator, values=values))
    assert {check.name: check for check in check_kubernetes(settings, USER)}["GPU nodes"].state == state


def test_pull_secrets_and_certificates(cluster):
    settings = load_cluster()
    certificates = Certificates(config_map="company-ca", key="ca.crt")
    pods = settings.pods.model_copy(update={"image_pull_secrets": ["registry"], "certificates": certificates})
    settings = settings.model_copy(update={"pods": pods})
    cluster.objects[f"{CORE}/secrets/registry"] = secret(**{".dockerconfigjson": "{}"})
    found = {check.name: check for check in check_kubernetes(settings, USER)}
    assert found["secret registry"] == Check("secret registry", "ok", "exists")
    assert found["config map company-ca"].detail == "does not exist"


@pytest.mark.parametrize(
    "change, name, found",
    [
        (("Always", "OnError"), "controller: retries", "retryPolicy OnError"),
        (("expression", "unused"), "controller: retries", "retryPolicy Always also repeats"),
    ],
)
def test_settings_of_the_controller(cluster, kfp, command, change, name, found):
    cluster.objects[CONTROLLER] = {"data": {"workflowDefaults": DEFAULTS.replace(*change)}}
    assert checks()[name].state == "warning" and checks()[name].detail.startswith(found)
    assert command("doctor").code == 0, "runs work with it"


def test_settings_of_the_controller_in_another_form_are_unknown(cluster):
    cluster.objects[CONTROLLER] = {"data": {"workflowDefaults": "nonsense"}}
    assert checks()["controller"].state == "unknown"


def test_a_claim_for_one_node_is_a_warning(cluster):
    cluster.objects[CLAIM]["spec"]["accessModes"] = ["ReadWriteOnce"]
    assert checks()["claim kdflow-checkpoints"][1:3] == ("warning", "is bound with ReadWriteOnce")


def test_what_may_not_be_read_is_unknown_and_no_fault(cluster, kfp, command):
    cluster.forbidden = {NODES, SECRET, CONTROLLER}
    found = checks()
    assert [found[name].state for name in ("GPU nodes", "secret kdflow-credentials", "controller")] == ["unknown"] * 3
    assert "answers 403 Forbidden" in found["GPU nodes"].detail
    assert command("doctor").code == 0


def test_without_a_kubeconfig_the_rest_is_checked(kfp, command, monkeypatch, tmp_path):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    use_kubeconfig(monkeypatch, tmp_path / "none")
    done = command("doctor")
    assert done.code == 0 and "no kubeconfig" in done.out and "version 2.17.0" in done.out


def test_kubernetes_that_is_away_is_unknown(cluster, monkeypatch):
    cluster.kubeconfig.write_text(cluster.kubeconfig.read_text().replace("127.0.0.1:", "127.0.0.1:1#"))
    monkeypatch.setattr(kubernetes, "REQUEST_OPTIONS", {"_request_timeout": 1})
    assert {check.state for check in checks().values()} == {"unknown"}


def test_a_schedule_of_an_older_server_is_a_fault_until_it_is_made_anew(cluster, kfp, command):
    command("schedule", "--cron", "@weekly")
    kfp.info["tag_name"] = "2.18.1"
    done = command("doctor")
    assert done.code == 1 and "'kdflow' of 2.17.0" in done.out
    assert "replaced" in command("schedule", "--cron", "@weekly").out
    assert command("doctor").code == 0


def test_an_old_server_and_one_that_hides_its_version(cluster, kfp, command):
    kfp.info["tag_name"] = "2.5.0"
    done = command("doctor")
    assert done.code == 1 and "upgrade Kubeflow Pipelines to 2.17" in done.out
    kfp.info = {"apiServerTagName": "2.17.1", "apiServerMultiUser": True}
    assert "version 2.17.1, for several users" in command("doctor").out
    kfp.info = {}
    done = command("doctor")
    assert done.code == 0 and "version 'unknown'" in done.out


def test_a_server_for_a_single_user_has_another_account(cluster, kfp, command):
    kfp.info["multi_user"] = False
    done = command("doctor")
    assert done.code == 0 and "usually has pipeline-runner" in done.out


def test_a_server_that_is_away_is_a_fault_and_no_address_is_bad_input(cluster, kfp, command, monkeypatch):
    kfp.fault = lambda number, request: "cut"
    done = command("doctor")
    assert done.code == 1 and "does not answer" in done.out and "is bound" in done.out
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT")
    assert command("doctor").code == 2


def test_a_token_that_cannot_be_renewed(cluster, kfp, command, monkeypatch):
    payload = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + 3000}).encode()).decode()
    monkeypatch.setenv("KF_PIPELINES_TOKEN", f"x.{payload}.x")
    done = command("doctor")
    assert done.code == 0 and "expires in 49 min" in done.out and payload not in done.out


def test_mlflow_that_does_not_answer(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert check_mlflow("kdflow-student").state == "fault"


def test_the_volume(monkeypatch, tmp_path):
    monkeypatch.setenv("KDFLOW_CHECKPOINTS", str(tmp_path))
    assert check_volume() == Check("checkpoints writable", "ok", str(tmp_path)) and not list(tmp_path.iterdir())
    monkeypatch.setenv("KDFLOW_CHECKPOINTS", "/proc")
    assert check_volume().state == "fault"


def test_the_data_repository(monkeypatch):
    monkeypatch.delenv("KDFLOW_EXECUTION", raising=False)
    assert [check.state for check in check_data("data/mine", "", "")] == ["unknown"]
    (repository,) = check_data("data/mine", "/no/repository", "main")
    assert repository.state == "unknown" and "not from this machine: data_repo: /no/repository" in repository.detail
    monkeypatch.setenv("KDFLOW_EXECUTION", "in a pod")
    (repository,) = check_data("data/mine", "/no/repository", "main")
    assert repository.state == "fault"


def test_any_other_error_becomes_a_fault():
    def fail():
        raise subprocess.SubprocessError("broken pipe\nand more")

    assert attempt("x", "repair it", fail) == Check("x", "fault", "broken pipe", "repair it")


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
    in_cluster.print_checks("data/mine", "kdflow-student", "", "")
    monkeypatch.delenv("KDFLOW_CHECKPOINTS")
    in_pod(capsys.readouterr().out)
    done = command("doctor", "--in-cluster", "--image", IMAGE)
    assert done.code == 0, done.err
    assert f"ok      pod: ran {IMAGE}\nok      checkpoints writable: {tmp_path}\n" in done.out
    (run,) = kfp.runs.values()
    spec, platform = run["pipeline_spec"]["pipeline_spec"], run["pipeline_spec"]["platform_spec"]
    (container,) = [executor["container"] for executor in spec["deploymentSpec"]["executors"].values()]
    assert container["image"] == IMAGE and "data/mine" not in str(container)
    (pod,) = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    assert pod["pvcMount"] and pod["secretAsEnv"] and run["service_account"] == "default-editor"


def test_a_pod_that_says_nothing_or_never_ends(cluster, kfp, command, in_pod, monkeypatch):
    in_pod("Traceback")
    done = command("doctor", "--in-cluster", "--image", IMAGE)
    assert done.code == 1 and "fault   pod: ended without a result" in done.out
    monkeypatch.setattr(in_cluster, "MAX_POLLS", 2)
    kfp.progress = [{"state": "RUNNING"}] * 2
    done = command("doctor", "--in-cluster", "--image", IMAGE)
    assert done.code == 1 and "fault   pod: has not ended" in done.out
    assert any(request.endswith(":terminate") for request in kfp.requests)


def test_a_pod_needs_an_image(cluster, kfp, command):
    done = command("doctor", "--in-cluster")
    assert done.code == 2 and done.err.startswith("error: --in-cluster: needs an image") and not kfp.requests
