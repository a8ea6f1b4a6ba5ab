"""What was stopped in Kubeflow's user interface does not stay RUNNING in MLflow."""

import pytest

from components.runtime import store
from components.runtime.execution import Execution, open_parent
from pipeline import ended_runs, overlap
from pipeline.ended_runs import CLUSTER_TAG, close_ended_runs
from tests.components.stores import new_store
from tests.pipeline.kubernetes_server import serving_kubernetes, use_kubeconfig
from tests.pipeline.test_overlap import WORKFLOWS, workflow


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """The namespace of this pod, whose run is "ours"; the runs "ours" and "theirs" are under way."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)
    for name, text in (("namespace", "team\n"), ("ca.crt", "certificate")):
        (tmp_path / name).write_text(text)
    for module in (overlap, ended_runs):
        monkeypatch.setattr(module, "NAMESPACE_FILE", str(tmp_path / "namespace"))
    monkeypatch.setenv("KDFLOW_EXECUTION", "ours")
    monkeypatch.setenv("KDFLOW_CLUSTER", "true")
    with serving_kubernetes(tmp_path) as server:
        use_kubeconfig(monkeypatch, server.kubeconfig)
        server.objects[WORKFLOWS] = {"items": [workflow("kdflow-x", "ours", 5), workflow("kdflow-y", "theirs", 4)]}
        yield server


@pytest.fixture
def start(monkeypatch):
    """Start the parent run of a pipeline, as its first step does, with a step that is under way; both run ids."""
    client = store.connect_to_mlflow()

    def start_run(execution, cluster_tag):
        experiment = client.get_experiment_by_name("kdflow")
        experiment_id = experiment.experiment_id if experiment else client.create_experiment("kdflow")
        parent = open_parent(client, experiment_id, Execution(execution, execution))
        if cluster_tag:
            client.set_tag(parent, CLUSTER_TAG, cluster_tag)
        child = client.create_run(experiment_id, run_name="train_teacher", tags={"mlflow.parentRunId": parent})
        return parent, child.info.run_id

    return start_run


def states(*runs):
    client = store.connect_to_mlflow()
    return [client.get_run(run).info.status for run in runs]


def test_runs_of_ended_pipelines_are_ended_and_others_left_alone(cluster, start, capsys):
    ours = ended_runs._cluster()
    assert ours.startswith("team ") and len(ours) > len("team ") + 8
    stopped, running = start("stopped in the user interface", ours), start("theirs", ours)
    elsewhere, by_hand = start("on another cluster", "team 0123"), start("dvc repro", "")
    close_ended_runs()
    assert states(*stopped) == ["KILLED", "KILLED"]
    assert states(*running, *elsewhere, *by_hand) == ["RUNNING"] * 6
    assert capsys.readouterr().out == "MLflow: 2 runs of ended pipelines set to KILLED\n"
    cluster.objects[WORKFLOWS]["items"].pop()
    close_ended_runs()
    assert states(*running) == ["KILLED", "KILLED"]


def test_the_own_run_goes_on_and_names_its_cluster(cluster, start):
    own = start("ours", "")
    cluster.objects[WORKFLOWS]["items"].clear()
    close_ended_runs()
    assert states(*own) == ["RUNNING", "RUNNING"]
    assert store.connect_to_mlflow().get_run(own[0]).data.tags[CLUSTER_TAG] == ended_runs._cluster()


def test_without_the_right_to_list_workflows_nothing_is_ended(cluster, start, capsys):
    runs = start("somebody", ended_runs._cluster())
    cluster.forbidden.add(WORKFLOWS)
    close_ended_runs()
    assert states(*runs) == ["RUNNING", "RUNNING"] and "may stay RUNNING in MLflow" in capsys.readouterr().err


def test_outside_a_cluster_nobody_is_asked(cluster, start, monkeypatch):
    runs = start("somebody", ended_runs._cluster())
    monkeypatch.delenv("KDFLOW_CLUSTER")
    close_ended_runs()
    assert states(*runs) == ["RUNNING", "RUNNING"] and not cluster.requests
