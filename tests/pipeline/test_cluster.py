"""Every setting of cluster.yaml: what it does to the compiled graph, and how a wrong one is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kd.errors import InputError
from pipeline.cluster import load_cluster
from tests.pipeline.compiled import IMAGE, OTHER, STEP, Change, Compiled, environment


def test_cpu_and_memory(compiled: Callable[..., Compiled]) -> None:
    resources = compiled(cpu="3500m", memory="7Gi").container()["resources"]
    assert resources["resourceCpuRequest"] == resources["resourceCpuLimit"] == "3500m"
    assert resources["resourceMemoryRequest"] == resources["resourceMemoryLimit"] == "7Gi"


def test_gpus(compiled: Callable[..., Compiled]) -> None:
    done = compiled(gpu={"type": "example.com/gpu", "count": 3})
    accelerator = done.container()["resources"]["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("example.com/gpu", "3")
    assert "accelerator" not in done.container(OTHER)["resources"]


def test_node_selector(compiled: Callable[..., Compiled]) -> None:
    done = compiled(node_selector={"pool": "gpus", "zone": "a"})
    assert done.pod()["nodeSelector"]["labels"] == {"pool": "gpus", "zone": "a"}
    assert "nodeSelector" not in done.pod(OTHER)


def test_tolerations(compiled: Callable[..., Compiled]) -> None:
    taint = {"key": "spot", "operator": "Equal", "value": "yes", "effect": "NoExecute"}
    assert compiled(tolerations=[taint]).pod()["tolerations"] == [taint]


def test_affinity_to_spot_nodes(compiled: Callable[..., Compiled]) -> None:
    """Requirements are one term, because Kubernetes takes several terms as alternatives."""
    required = [{"key": "zone", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}]
    terms = compiled(node_affinity=[*required, {"key": "spot", "operator": "Exists", "weight": 50}]).pod()["nodeAffinity"]
    assert terms == [{"matchExpressions": required}, {"matchExpressions": [{"key": "spot", "operator": "Exists"}], "weight": 50}]


def test_timeout(compiled: Callable[..., Compiled]) -> None:
    assert compiled(timeout=4321).pod()["activeDeadlineSeconds"] == "4321"


def test_retries_with_back_off(compiled: Callable[..., Compiled]) -> None:
    """Kubeflow's maximum duration is a window from the first attempt, so it is the deadline of the run."""

    def change(content: dict[str, Any]) -> None:
        content["run"]["deadline"] = 7777

    policy = compiled(change, retry={"times": 4, "wait": 5, "factor": 3}).task()["retryPolicy"]
    assert policy == {"maxRetryCount": 4, "backoffDuration": "5s", "backoffFactor": 3.0, "backoffMaxDuration": "7777s"}


def test_a_training_knows_how_often_to_restart(compiled: Callable[..., Compiled]) -> None:
    done = compiled(lambda content: content["steps"]["train_teacher"].update(retry={"times": 7, "wait": 1, "factor": 1}))
    assert {"name": "KDFLOW_RESTARTS", "value": "7"} in done.container("train_teacher")["env"]
    assert not any(entry["name"] == "KDFLOW_RESTARTS" for entry in done.container(OTHER).get("env", ()))


def test_shared_memory(compiled: Callable[..., Compiled]) -> None:
    done = compiled(shared_memory="3Gi")
    (mount,) = done.pod()["emptyDirMounts"]
    assert (mount["mountPath"], mount["medium"], mount["sizeLimit"]) == ("/dev/shm", "Memory", "3Gi")
    assert "emptyDirMounts" not in done.pod(OTHER)


def test_the_checkpoint_volume_is_the_trainings(compiled: Callable[..., Compiled]) -> None:
    done = compiled(lambda content: content.update(checkpoints={"claim": "fast-disk", "path": "/kept"}))
    for step in ("train_teacher", "train_baseline", "distill_student"):
        (mount,) = done.pod(step)["pvcMount"]
        assert (mount["constant"], mount["mountPath"]) == ("fast-disk", "/kept")
        assert {"name": "KDFLOW_CHECKPOINTS", "value": "/kept"} in done.container(step)["env"]
    assert "pvcMount" not in done.pod(OTHER)


def test_secrets_and_config_maps_reach_every_step(compiled: Callable[..., Compiled]) -> None:
    def change(content: dict[str, Any]) -> None:
        content |= {
            "secrets": {"keys": {"id": "KDFLOW_AWS_ACCESS_KEY_ID"}},
            "config_maps": {"places": {"mlflow": "KDFLOW_MLFLOW_TRACKING_URI"}},
        }

    done = compiled(change)
    for step in ("resolve_data", STEP, OTHER):
        (secret,), (config,) = done.pod(step)["secretAsEnv"], done.pod(step)["configMapAsEnv"]
        assert (secret["secretName"], secret["keyToEnv"]) == ("keys", [{"secretKey": "id", "envVar": "KDFLOW_AWS_ACCESS_KEY_ID"}])
        assert (config["configMapName"], config["keyToEnv"]) == (
            "places",
            [{"configMapKey": "mlflow", "envVar": "KDFLOW_MLFLOW_TRACKING_URI"}],
        )


def test_the_steps_of_a_run_share_a_parent_in_mlflow(compiled: Callable[..., Compiled]) -> None:
    done = compiled()
    for step in (STEP, OTHER):
        assert done.pod(step)["fieldPathAsEnv"] == [{"name": "KDFLOW_EXECUTION", "fieldPath": "metadata.labels['pipeline/runid']"}]


def test_kubeflows_form_has_the_repository_of_the_team(compiled: Callable[..., Compiled]) -> None:
    done = compiled(lambda content: content.update(data_repo="https://git.example.com/data", data_rev="main"))
    inputs = done.spec["root"]["inputDefinitions"]["parameters"]
    assert [inputs[name]["defaultValue"] for name in ("data_repo", "data_rev")] == ["https://git.example.com/data", "main"]
    assert environment(done.container("resolve_data"))["KDFLOW_CLUSTER"] == "true"


def test_limits_of_the_run(compiled: Callable[..., Compiled]) -> None:
    limits = compiled(lambda content: content.update(run={"deadline": 111, "ttl": 222, "overlap": "allow"})).kubernetes["pipelineConfig"]
    assert limits == {"activeDeadlineSeconds": 111, "resourceTtlOnCompletion": 222}


@pytest.mark.parametrize(("overlap", "timeout"), [("wait", "7777"), ("fail", "55"), ("allow", "55")])
def test_the_first_step_has_the_time_to_wait_for_an_earlier_run(compiled: Callable[..., Compiled], overlap: str, timeout: str) -> None:
    def change(content: dict[str, Any]) -> None:
        content["run"].update(overlap=overlap, deadline=7777)
        content["steps"]["resolve_data"]["timeout"] = 55

    done = compiled(change)
    assert environment(done.container("resolve_data"))["KDFLOW_OVERLAP"] == overlap
    assert done.pod("resolve_data")["activeDeadlineSeconds"] == timeout
    assert "KDFLOW_OVERLAP" not in environment(done.container(STEP))


def test_defaults_hold_where_a_step_says_nothing(settings: Callable[[Change], Path]) -> None:
    def change(content: dict[str, Any]) -> None:
        content["defaults"]["cpu"] = "9"
        content["steps"] = {"evaluate": {"cpu": "2"}, "register_model": None}

    cluster = load_cluster(settings(change))
    assert {name: placement.cpu for name, placement in cluster.steps.items() if placement.cpu != "9"} == {"evaluate": "2"}
    assert len(cluster.steps) == 8


def test_where_a_run_is_submitted(settings: Callable[[Change], Path]) -> None:
    cluster = load_cluster(settings(lambda content: content.update(namespace="team", service_account="runner")), IMAGE)
    assert (cluster.namespace, cluster.service_account, cluster.image) == ("team", "runner", IMAGE)


def put(path: str, value: Any) -> Change:
    """A change that sets the setting at a dotted path."""
    *parents, last = path.split(".")

    def change(content: dict[str, Any]) -> None:
        for parent in parents:
            content = content[parent]
        content[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("image", "kdflow:latest"),
        ("namespace", "My Team"),
        ("steps.train_teachr", {"cpu": "1"}),
        ("steps.evaluate.cpus", "1"),
        ("steps.evaluate.cpu", "many"),
        ("steps.evaluate.cpu", 4),
        ("steps.evaluate.memory", "4 GB"),
        ("steps.evaluate.gpu", {"type": "nvidia.com/gpu", "count": 0}),
        ("steps.evaluate.tolerations", [{"key": "spot", "operator": "Is"}]),
        ("steps.evaluate.timeout", 0),
        ("steps.evaluate.retry", {"times": -1, "wait": 1, "factor": 2}),
        ("steps.evaluate.retry", {"times": 1, "wait": 1, "factor": 1.5}),
        ("steps.evaluate.retry", {"times": 1, "wait": 1, "factor": 2, "longest": 9}),
        ("steps.evaluate.node_affinity", [{"key": "zone", "operator": "In"}]),
        ("steps.evaluate.node_affinity", [{"key": "zone", "operator": "Exists", "weight": 101}]),
        ("checkpoints.path", "relative"),
        ("checkpoints.claim", "my.claim"),
        ("checkpoints.claim", "c" * 64),
        ("pods.image_pull_secrets", ["My_Secret"]),
        ("pods.security_context", {"run_as_user": 0, "run_as_group": 10001}),
        ("pods.labels", {"team": "two words"}),
        ("pods.annotations", {"a b": "c"}),
        ("pods.kueue_queue", "Queue"),
        ("pods.certificates", {"config_map": "company-ca", "key": "a/b"}),
        ("pods.proxy", {"http": "proxy:3128", "https": "http://proxy:3128", "no_proxy": [".svc"]}),
        ("pods.proxy", {"http": "http://me:secret@proxy", "https": "http://proxy:3128", "no_proxy": [".svc"]}),
        ("pods.proxy", {"http": "http://proxy:3128", "https": "http://proxy:3128", "no_proxy": []}),
        ("secrets.kdflow-credentials", {"key": "NOT-A-VARIABLE"}),
        ("run.deadline", "soon"),
        ("run.overlap", "never"),
    ],
)
def test_a_wrong_setting_is_named(settings: Callable[[Change], Path], path: str, value: Any) -> None:
    with pytest.raises(InputError) as told:
        load_cluster(settings(put(path, value)))
    assert "cluster.yaml: '" in str(told.value) and path.split(".")[-1].split("-")[0] in str(told.value)


def test_variables_of_the_launcher_are_refused_with_the_name_to_write(settings: Callable[[Change], Path]) -> None:
    with pytest.raises(InputError, match="write KDFLOW_AWS_ACCESS_KEY_ID; "):
        load_cluster(settings(put("secrets.kdflow-credentials.AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID")))


def test_a_missing_setting_and_a_file_that_is_no_yaml(settings: Callable[[Change], Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'steps\.resolve_data\.timeout'"):
        load_cluster(settings(lambda content: [content["defaults"].pop("timeout"), content["steps"]["resolve_data"].pop("timeout")]))
    (tmp_path / "broken.yaml").write_text("image: [")
    with pytest.raises(InputError, match="is not YAML"):
        load_cluster(tmp_path / "broken.yaml")
    with pytest.raises(InputError, match="is missing"):
        load_cluster(tmp_path / "none.yaml")
