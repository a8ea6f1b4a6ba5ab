"""The section `pods` of cluster.yaml: what it does to the pods of the steps."""

from collections.abc import Callable
from typing import Any

from tests.pipeline.compiled import OTHER, ROOT, STEP, Change, Compiled, environment


def in_pods(**settings: Any) -> Change:
    """A change of the section `pods`."""
    return lambda content: content["pods"].update(settings)


def test_every_step_runs_as_an_ordinary_user_unless_the_cluster_assigns_one(compiled: Callable[..., Compiled]) -> None:
    done, own = compiled(), compiled(in_pods(security_context=None))
    for step in (STEP, OTHER):
        assert done.pod(step)["securityContext"] == {"runAsUser": "10001", "runAsGroup": "10001", "runAsNonRoot": True}
        assert "securityContext" not in own.pod(step)


def test_the_user_is_that_of_the_image(compiled: Callable[..., Compiled]) -> None:
    context = compiled().pod()["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in (ROOT / "Dockerfile").read_text()


def test_pull_secrets_labels_annotations_queue_and_priority(compiled: Callable[..., Compiled]) -> None:
    change = in_pods(
        image_pull_secrets=["registry", "mirror"],
        labels={"team": "vision"},
        annotations={"sidecar.istio.io/inject": "false"},
        kueue_queue="gpus",
        kueue_priority="low",
    )
    done = compiled(change)
    for step in (STEP, OTHER):
        assert [secret["secretName"] for secret in done.pod(step)["imagePullSecret"]] == ["registry", "mirror"]
        labels = {"team": "vision", "kueue.x-k8s.io/priority-class": "low", "kueue.x-k8s.io/queue-name": "gpus"}
        assert done.pod(step)["podMetadata"] == {"labels": labels, "annotations": {"sidecar.istio.io/inject": "false"}}
    assert "podMetadata" not in compiled().pod()


def test_certificates_are_mounted_and_named_to_each_library(compiled: Callable[..., Compiled]) -> None:
    done = compiled(in_pods(certificates={"config_map": "company-ca", "key": "ca.crt"}))
    (volume,) = done.pod()["configMapAsVolume"]
    assert volume["configMapName"] == "company-ca"
    variables = environment(done.container())
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO"):
        assert variables[name] == f"{volume['mountPath']}/ca.crt"


def test_proxies_in_both_spellings(compiled: Callable[..., Compiled]) -> None:
    done = compiled(in_pods(proxy={"http": "http://proxy:3128", "https": "http://proxy:3129", "no_proxy": [".svc", "10.0.0.0/8"]}))
    expected = {"http_proxy": "http://proxy:3128", "https_proxy": "http://proxy:3129", "no_proxy": ".svc,10.0.0.0/8"}
    expected |= {name.upper(): value for name, value in expected.items()}
    assert expected.items() <= environment(done.container(OTHER)).items()
