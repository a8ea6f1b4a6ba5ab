"""A Kubernetes for the checks of `doctor`, in which everything is in order."""

import base64

import pytest

from pipeline.cluster import load_cluster
from pipeline.doctor.kubernetes import check_kubernetes
from tests.pipeline.kubernetes_server import serving_kubernetes, use_kubeconfig

USER = "kubeflow-user"
CORE = f"/api/v1/namespaces/{USER}"
SECRET, SETTINGS = f"{CORE}/secrets/kdflow-credentials", f"{CORE}/configmaps/kdflow-settings"
MLFLOW = f"{CORE}/secrets/kdflow-mlflow"
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
            MLFLOW: secret(MLFLOW_TRACKING_PASSWORD="the-password"),
            SETTINGS: {
                "data": {
                    "MLFLOW_TRACKING_URI": "http://m:5000",
                    "MLFLOW_TRACKING_USERNAME": "kdflow",
                    "AWS_ENDPOINT_URL": "http://s3",
                    "AWS_DEFAULT_REGION": "r",
                }
            },
            CLAIM: {"spec": {"accessModes": ["ReadWriteMany"]}, "status": {"phase": "Bound"}},
            ACCOUNT: {"metadata": {"name": "default-editor"}},
            NODES: {"items": [NODE, {"metadata": {}, "spec": {}, "status": {}}]},
            CONTROLLER: {"data": {"workflowDefaults": DEFAULTS}},
        }
        yield server


def checks():
    return {check.name: check for check in check_kubernetes(load_cluster(), USER)}
