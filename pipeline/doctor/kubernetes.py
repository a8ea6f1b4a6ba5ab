"""Checks of Kubernetes: the objects that the steps need, the nodes, and the settings of Argo's controller."""

import base64
from collections.abc import Mapping
from typing import Any

import yaml
from kubernetes import client
from kubernetes.config import ConfigException

from pipeline.cluster import Cluster, StepSettings
from pipeline.doctor.check import Check, failed_check, run_check
from pipeline.kubernetes_client import REQUEST_OPTIONS, connect_to_kubernetes

CONTROLLER = "workflow-controller-configmap"
CONTROLLER_NAMESPACES = ("kubeflow", "argo")
SETUP = "create it as in step 2 of docs/cluster.md, or correct cluster.yaml"


def check_kubernetes(cluster: Cluster, namespace: str) -> list[Check]:
    """All checks, or one line if there is no access."""
    try:
        api = client.CoreV1Api(connect_to_kubernetes())
    except ConfigException:
        remedy = "set KUBECONFIG, or use --in-cluster"
        return [Check("Kubernetes", "unknown", "no kubeconfig: accounts, secrets, claims and nodes were not checked", remedy)]
    checks = [run_check(f"account {cluster.service_account}", SETUP, lambda: _account(api, namespace, cluster.service_account))]
    secrets: dict[str, dict[str, str]] = {name: {} for name in cluster.pods.image_pull_secrets} | cluster.secrets
    for name, variables in secrets.items():
        checks.append(run_check(f"secret {name}", SETUP, lambda n=name, v=variables: _secret(api, namespace, n, v)))  # type: ignore[misc]
    certificates = cluster.pods.certificates
    config_maps = ({certificates.config_map: {certificates.key: ""}} if certificates else {}) | cluster.config_maps
    for name, variables in config_maps.items():
        checks.append(run_check(f"config map {name}", SETUP, lambda n=name, v=variables: _config_map(api, namespace, n, v)))  # type: ignore[misc]
    checks.append(run_check(f"claim {cluster.checkpoints.claim}", SETUP, lambda: _claim(api, namespace, cluster.checkpoints.claim)))
    checks.append(run_check("GPU nodes", "", lambda: _gpu_nodes(api, cluster)))
    return [*checks, *_controller(api)]


def _account(api: client.CoreV1Api, namespace: str, name: str | None) -> Check:
    api.read_namespaced_service_account(name, namespace, **REQUEST_OPTIONS)
    return Check(f"account {name}", "ok", f"exists in {namespace}")


def _secret(api: client.CoreV1Api, namespace: str, name: str, variables: Mapping[str, str]) -> Check:
    data = api.read_namespaced_secret(name, namespace, **REQUEST_OPTIONS).data or {}
    return _keys(f"secret {name}", {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}, variables)


def _config_map(api: client.CoreV1Api, namespace: str, name: str, variables: Mapping[str, str]) -> Check:
    return _keys(f"config map {name}", api.read_namespaced_config_map(name, namespace, **REQUEST_OPTIONS).data or {}, variables)


def _keys(name: str, data: Mapping[str, str], variables: Mapping[str, str]) -> Check:
    """Whether `data` has a value for each key; the values are not shown."""
    empty = [key for key in variables if not data.get(key, "").strip()]
    if empty:
        return Check(name, "fault", f"has no value for {', '.join(empty)}", "set it, then run again")
    return Check(name, "ok", f"has {', '.join(variables)}" if variables else "exists")


def _claim(api: client.CoreV1Api, namespace: str, name: str) -> Check:
    claim, label = api.read_namespaced_persistent_volume_claim(name, namespace, **REQUEST_OPTIONS), f"claim {name}"
    modes = claim.spec.access_modes or []
    if claim.status.phase != "Bound":
        remedy = f"`kubectl --namespace {namespace} describe pvc {name}` tells why; often its storage class is missing"
        return Check(label, "fault", f"is {claim.status.phase}", remedy)
    if "ReadWriteMany" not in modes:
        remedy = "trainings run in parallel: use a storage class with ReadWriteMany, or keep all GPU nodes to one"
        return Check(label, "warning", f"is bound with {', '.join(modes)}", remedy)
    return Check(label, "ok", "is bound, ReadWriteMany")


def _gpu_nodes(api: client.CoreV1Api, cluster: Cluster) -> Check:
    """Whether each step that needs GPUs fits on a node, as the scheduler decides, but without the pods that are there now."""
    nodes = api.list_node(**REQUEST_OPTIONS).items
    fitting = {step: sum(_fits(node, settings) for node in nodes) for step, settings in cluster.steps.items() if settings.gpu}
    without = [step for step, count in fitting.items() if not count]
    if without:
        found = f"none of {len(nodes)} nodes fits {', '.join(without)}"
        remedy = "compare gpu, node_selector and tolerations in cluster.yaml with `kubectl describe nodes`; an autoscaler may add one"
        return Check("GPU nodes", "fault", found, remedy)
    return Check("GPU nodes", "ok", ", ".join(f"{count} for {step}" for step, count in fitting.items()) or "no step needs one")


def _fits(node: Any, settings: StepSettings) -> bool:
    labels, allocatable = node.metadata.labels or {}, node.status.allocatable or {}
    has_gpus = settings.gpu is not None and int(allocatable.get(settings.gpu.type, 0)) >= settings.gpu.count
    taints = [taint for taint in (node.spec and node.spec.taints) or () if taint.effect in ("NoSchedule", "NoExecute")]
    has_labels = settings.node_selector.items() <= labels.items() and all(
        affinity.matches(labels) for affinity in settings.node_affinity if not affinity.weight
    )
    return has_gpus and has_labels and all(_is_tolerated(taint, settings) for taint in taints)


def _is_tolerated(taint: Any, settings: StepSettings) -> bool:
    return any(
        toleration.key == taint.key
        and toleration.effect in (None, taint.effect)
        and (toleration.operator == "Exists" or (toleration.value or "") == (taint.value or ""))
        for toleration in settings.tolerations
    )


def _controller(api: client.CoreV1Api) -> list[Check]:
    """How Argo's controller retries pods, and how long it keeps finished workflows."""
    reasons = []
    for namespace in CONTROLLER_NAMESPACES:
        try:
            data = api.read_namespaced_config_map(CONTROLLER, namespace, **REQUEST_OPTIONS).data or {}
            spec = (yaml.safe_load(data.get("workflowDefaults") or "{}") or {}).get("spec") or {}
            return [_retries((spec.get("templateDefaults") or {}).get("retryStrategy") or {}), _lifetime(spec.get("ttlStrategy") or {})]
        except (AttributeError, yaml.YAMLError):
            reasons.append("workflowDefaults has another form")
        except Exception as error:
            reasons.append(failed_check("controller", "", error).detail)
    problem = f"{CONTROLLER} cannot be read in {' or '.join(CONTROLLER_NAMESPACES)} ({reasons[0]})"
    return [Check("controller", "unknown", problem, "ask an administrator for its workflowDefaults")]


def _retries(strategy: Mapping[str, Any]) -> Check:
    policy = strategy.get("retryPolicy", "OnFailure")
    if policy != "Always":
        remedy = "an administrator can apply the retry settings of docs/cluster.md; without them trainings restart in their pods only"
        return Check("controller: retries", "warning", f"retryPolicy {policy} does not retry every crashed or lost pod", remedy)
    if "expression" not in strategy:
        remedy = "add the expression of docs/cluster.md to the retryStrategy"
        return Check("controller: retries", "warning", "retryPolicy Always also repeats errors of your input on every level", remedy)
    return Check("controller: retries", "ok", "retryPolicy Always, with an expression")


def _lifetime(ttl: Mapping[str, Any]) -> Check:
    seconds = [ttl.get(key) for key in ("secondsAfterSuccess", "secondsAfterFailure", "secondsAfterCompletion")]
    if not any(seconds):
        return Check("controller: lifetime", "ok", "no ttlStrategy: run.ttl in cluster.yaml holds, up to a day")
    found = ", ".join(f"{name} {value}" for name, value in ttl.items())
    if any(seconds[:2]):
        found += ", which outrank run.ttl in cluster.yaml"
    return Check("controller: lifetime", "ok", f"{found}: afterwards logs are only in the archive")
