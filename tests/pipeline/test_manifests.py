"""The manifests: valid Kubernetes, without a secret, and of one mind among themselves, with the image and with cluster.yaml."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from mlflow.server.auth.config import read_auth_config
from mlflow.server.security_utils import is_allowed_host_header

from pipeline.doctor.kubernetes import _lifetime, _retries
from pipeline.token_sources import FILE

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "pipeline/manifests"
CLUSTER = yaml.safe_load((ROOT / "pipeline/cluster.yaml").read_text())
OPTIONAL = ("disk.yaml", "watch.yaml", "workflow-controller.yaml")
"""Not applied with the others."""
OBJECTS = {
    (content["kind"], content["metadata"]["name"]): content
    for file in sorted(FOLDER.glob("*.yaml"))
    if file.name != "kustomization.yaml"
    for content in yaml.safe_load_all(file.read_text())
}
PODS = {name: content["spec"]["template"] for (_, name), content in OBJECTS.items() if "template" in content.get("spec", {})}


def found(content: Any, key: str) -> Iterator[Any]:
    """Every value of `key`, at any depth."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name == key:
                yield value
            yield from found(value, key)
    elif isinstance(content, list):
        for value in content:
            yield from found(value, key)


def keys(kind: str, name: str) -> set[str]:
    """What a secret or a config map holds."""
    content = OBJECTS[kind, name]
    return set(content.get("stringData", {})) | set(content.get("data", {}))


@pytest.mark.parametrize("version", ["1.31", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("kind", OBJECTS)
def test_is_valid_kubernetes(kind: tuple[str, str], version: str) -> None:
    kubernetes_validate.validate(OBJECTS[kind], version, strict=True)


def test_validation_sees_a_mistake() -> None:
    broken = {**OBJECTS["Service", "kdflow-mlflow"], "spec": {"ports": [{"port": "http"}]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, kubernetes_validate.latest_version(), strict=True)


def test_one_command_applies_all_but_the_template_of_secrets() -> None:
    content = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert sorted(content["resources"]) == sorted(
        {file.name for file in FOLDER.iterdir()} - {"kustomization.yaml", "secrets.yaml", *OPTIONAL}
    )
    assert content["namespace"] == CLUSTER["namespace"]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
def test_kubectl_puts_namespace_and_image_everywhere() -> None:
    done = subprocess.run(["kubectl", "kustomize", FOLDER], capture_output=True, text=True, check=True)
    objects = list(yaml.safe_load_all(done.stdout))
    assert len(objects) == len(OBJECTS) - len(OPTIONAL) - len([kind for kind, _ in OBJECTS if kind == "Secret"])
    assert {content["metadata"]["namespace"] for content in objects} == {CLUSTER["namespace"]}
    images = {image for image in found(objects, "image") if "kdflow" in image}
    assert len(images) == 1 and "@sha256:" in images.pop()


def test_the_templates_hold_no_secret() -> None:
    secrets = [content for (kind, _), content in OBJECTS.items() if kind == "Secret"]
    assert secrets and all("data" not in secret and set(secret["stringData"].values()) == {""} for secret in secrets)


def test_what_a_pod_refers_to_is_there() -> None:
    for pod in PODS.values():
        for kind, reference in (("Secret", "secretRef"), ("ConfigMap", "configMapRef")):
            assert all((kind, named["name"]) in OBJECTS for named in found(pod, reference))
        assert all(key["key"] in keys("Secret", key["name"]) for key in found(pod, "secretKeyRef"))
        assert all(("PersistentVolumeClaim", name) in OBJECTS for name in found(pod, "claimName"))


def test_services_and_policies_select_a_pod() -> None:
    labels = [pod["metadata"]["labels"].items() for pod in PODS.values()]
    selectors = [content["spec"]["selector"] for (kind, _), content in OBJECTS.items() if kind == "Service"]
    selectors += [content["spec"]["podSelector"]["matchLabels"] for (kind, _), content in OBJECTS.items() if kind == "NetworkPolicy"]
    assert len(selectors) == 4 and all(any(selector.items() <= pod for pod in labels) for selector in selectors)


def test_pods_have_no_rights_and_an_exact_image() -> None:
    user, group = re.search(r"^USER (\d+):(\d+)", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).groups()
    for pod in PODS.values():
        assert pod["spec"]["securityContext"]["runAsNonRoot"] and not pod["spec"]["automountServiceAccountToken"]
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
            if container["image"] == "kdflow":  # kustomization.yaml has its digest
                context = pod["spec"]["securityContext"]
                assert [context["runAsUser"], context["runAsGroup"]] == [int(user), int(group)]
            else:
                assert re.fullmatch(r"\S+:\d+\.\d+\S*", container["image"])


def test_the_steps_settings_name_what_is_made_here() -> None:
    assert ("PersistentVolumeClaim", CLUSTER["checkpoints"]["claim"]) in OBJECTS
    for kind, section in (("Secret", "secrets"), ("ConfigMap", "config_maps")):
        assert CLUSTER[section], f"no step gets a {kind}"
        for name, variables in CLUSTER[section].items():
            assert set(variables) <= keys(kind, name)


def test_the_steps_reach_the_server_under_a_name_that_it_answers_to() -> None:
    uri = urlsplit(OBJECTS["ConfigMap", "kdflow-settings"]["data"]["MLFLOW_TRACKING_URI"])
    service = OBJECTS["Service", uri.hostname]["spec"]
    assert uri.port in [port["port"] for port in service["ports"]]
    command = PODS["kdflow-mlflow"]["spec"]["containers"][0]["command"]
    assert f"--port={uri.port}" in command
    allowed = next(word.removeprefix("--allowed-hosts=").split(",") for word in command if word.startswith("--allowed-hosts="))
    names = [uri.netloc, f"{uri.hostname}.{CLUSTER['namespace']}.svc.cluster.local:{uri.port}", "localhost:5000"]
    assert all(is_allowed_host_header(allowed, name) for name in names) and not is_allowed_host_header(allowed, "evil.example.com:5000")


def test_the_server_does_not_check_the_same_password_in_each_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check takes a tenth of a second or more, and a request has several; steps would give up on a busy server."""
    file = tmp_path / "basic_auth.ini"
    file.write_text(OBJECTS["ConfigMap", "kdflow-mlflow"]["data"]["basic_auth.ini"])
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(file))
    settings = read_auth_config()
    assert settings.auth_cache_ttl_seconds >= 60 and settings.default_permission == "READ" and settings.admin_username == "kdflow"


def controller_settings() -> dict[str, Any]:
    """The settings as Argo's controller reads them: it joins the entries of its config map to one YAML document."""
    lines = []
    for name, value in OBJECTS["ConfigMap", "workflow-controller-configmap"]["data"].items():
        indented = "\n  ".join(value.strip("\n").split("\n"))
        lines.append(f"{name}:\n  {indented}" if "\n" in value else f"{name}: {value}")
    return yaml.safe_load("\n".join(lines))


def test_the_controllers_settings_retry_crashes_and_keep_our_lifetime() -> None:
    content = controller_settings()
    assert content["failedPodRestart"] == {"enabled": True, "maxRestarts": 3}
    spec = content["workflowDefaults"]["spec"]
    assert spec["ttlStrategy"].keys() == {"secondsAfterCompletion"}, "the others outrank run.ttl"
    retry = spec["templateDefaults"]["retryStrategy"]
    assert retry["retryPolicy"] == "Always" and '"(exit code 1): error: "' in retry["expression"]
    assert CLUSTER["run"]["ttl"] <= 86400, "Kubeflow's persistence agent deletes a finished workflow after a day"


def test_the_doctor_finds_these_settings_in_order() -> None:
    spec = controller_settings()["workflowDefaults"]["spec"]
    assert _retries(spec["templateDefaults"]["retryStrategy"]).state == _lifetime(spec["ttlStrategy"]).state == "ok"


def test_the_watcher_has_the_token_where_the_client_looks_for_it() -> None:
    pod = PODS["kdflow-watch"]["spec"]
    (mount,) = pod["containers"][0]["volumeMounts"]
    (source,) = pod["volumes"][0]["projected"]["sources"]
    assert f"{mount['mountPath']}/{source['serviceAccountToken']['path']}" == FILE
    assert pod["serviceAccountName"] == CLUSTER["service_account"]
