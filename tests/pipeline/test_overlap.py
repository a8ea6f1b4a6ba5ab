"""Runs that were started at different times, or in the same second."""

import pytest

from kd.errors import InputError
from pipeline import overlap
from pipeline.overlap import wait_for_turn
from pipeline.package import read_package
from tests.pipeline.kubernetes_server import serving_kubernetes, use_kubeconfig

WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/team/workflows"


def workflow(name, run_id, minute, text=overlap.MARK):
    metadata = {"name": name, "creationTimestamp": f"2026-11-28T03:{minute:02d}:00Z", "labels": {"pipeline/runid": run_id}}
    return {"metadata": metadata, "spec": {"arguments": {"parameters": [{"name": "x", "value": f"... {text} ..."}]}}}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Workflows in the namespace of this pod, whose run is "ours"."""
    (tmp_path / "namespace").write_text("team")
    monkeypatch.setattr(overlap, "NAMESPACE_FILE", str(tmp_path / "namespace"))
    monkeypatch.setattr(overlap, "PAUSE", 0)
    monkeypatch.setenv("KDFLOW_EXECUTION", "ours")
    monkeypatch.setenv("KDFLOW_OVERLAP", "wait")
    with serving_kubernetes(tmp_path) as server:
        use_kubeconfig(monkeypatch, server.kubeconfig)
        server.objects[WORKFLOWS] = {"items": [workflow("kdflow-x", "ours", 5)]}
        yield server


def others(cluster, *workflows):
    cluster.objects[WORKFLOWS]["items"] += workflows


def test_the_mark_is_in_the_compiled_pipeline():
    from pipeline.compile import SPEC

    assert read_package(SPEC).name == "kdflow" and overlap.MARK in SPEC.read_text()


def test_only_runs_under_way_are_asked_for(cluster):
    wait_for_turn()
    (request,) = cluster.requests
    assert "completed%21%3Dtrue" in request


def test_a_run_waits_for_an_earlier_one_whatever_its_name(cluster, monkeypatch, capsys):
    others(cluster, workflow("weekly-1-2", "theirs", 4))
    pauses = []

    def end_it(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            del cluster.objects[WORKFLOWS]["items"][1]

    monkeypatch.setattr(overlap.time, "sleep", end_it)
    wait_for_turn()
    assert len(pauses) == 3 and capsys.readouterr().out == "waiting until run theirs ends\n"


def test_later_runs_and_other_pipelines_do_not_count(cluster):
    others(cluster, workflow("kdflow-y", "later", 6), workflow("kdflow-a", "other", 1, "another pipeline"))
    wait_for_turn()
    assert len(cluster.requests) == 1


@pytest.mark.parametrize("run_id, turn", [("ours", False), ("theirs", True)])
def test_of_two_runs_of_the_same_second_one_goes_first(cluster, monkeypatch, run_id, turn):
    others(cluster, workflow("kdflow-a", "theirs", 5))
    monkeypatch.setenv("KDFLOW_EXECUTION", run_id)
    monkeypatch.setenv("KDFLOW_OVERLAP", "fail")
    if turn:
        wait_for_turn()
    else:
        with pytest.raises(InputError, match=r"run\.overlap: run theirs is under way"):
            wait_for_turn()


def test_allow_asks_nobody(cluster, monkeypatch):
    others(cluster, workflow("kdflow-a", "theirs", 1))
    monkeypatch.setenv("KDFLOW_OVERLAP", "allow")
    wait_for_turn()
    monkeypatch.delenv("KDFLOW_OVERLAP")
    wait_for_turn()
    assert cluster.requests == []


def test_an_account_that_may_not_list_workflows_does_not_wait(cluster, monkeypatch, capsys):
    cluster.forbidden.add(WORKFLOWS)
    wait_for_turn()
    assert "workflows cannot be listed" in capsys.readouterr().err
    monkeypatch.setenv("KDFLOW_OVERLAP", "fail")
    with pytest.raises(InputError, match="let the service account list workflows"):
        wait_for_turn()


def test_kubernetes_that_is_away_is_asked_again(cluster, monkeypatch, capsys):
    cluster.kubeconfig.write_text(cluster.kubeconfig.read_text().replace("127.0.0.1:", "127.0.0.1:1#"))
    pauses = []
    monkeypatch.setattr(overlap.time, "sleep", pauses.append)
    wait_for_turn()
    assert len(pauses) == overlap.MAX_FAILURES - 1 and "does not wait" in capsys.readouterr().err
