"""What doctor says of a Kubernetes with something wrong."""

import pytest

from pipeline.cluster import load_cluster
from pipeline.doctor import kubernetes
from pipeline.doctor.check import Check
from pipeline.doctor.kubernetes import check_kubernetes
from pipeline.pods import Certificates, NodeAffinity
from tests.pipeline.doctor.conftest import ACCOUNT, CLAIM, CONTROLLER, CORE, DEFAULTS, NODE, NODES, SECRET, SETTINGS, USER, checks, secret


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


def test_kubernetes_that_is_away_is_unknown(cluster, monkeypatch):
    cluster.kubeconfig.write_text(cluster.kubeconfig.read_text().replace("127.0.0.1:", "127.0.0.1:1#"))
    monkeypatch.setattr(kubernetes, "REQUEST_OPTIONS", {"_request_timeout": 1})
    assert {check.state for check in checks().values()} == {"unknown"}
