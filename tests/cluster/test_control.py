"""Schedules, stopping and retrying on Kubeflow itself."""

import re
from collections.abc import Iterator

import pytest

from pipeline.client import connect
from pipeline.recurring_runs import list_recurring_runs
from pipeline.release import name_filter
from tests.cluster.conftest import TIMEOUT, Cluster, until

NAME = "kdflow-cluster-test"
LONG = ("--set", "teacher.train.epochs=400", "--set", "seed=1")
"""A training that the tests interrupt; not the one of other tests, whose result the cache could have."""

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2 * TIMEOUT)]


@pytest.fixture
def schedule(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, without a schedule of this name afterwards."""
    yield cluster
    if NAME in cluster.kdflow("schedules"):
        cluster.kdflow("unschedule", NAME)


def runs_of_schedule(cluster: Cluster) -> list[str]:
    """The ids of the runs that the schedule has started."""
    client = connect(None, cluster.settings.namespace)
    (recurring,) = list_recurring_runs(client, name_filter(NAME))
    runs = client.list_runs(page_size=100, sort_by="created_at desc", namespace=client.get_user_namespace()).runs or ()
    return [run.run_id for run in runs if run.recurring_run_id == recurring.recurring_run_id]


def test_a_scheduled_run_outlives_its_schedule_and_can_be_stopped_and_retried(schedule: Cluster) -> None:
    cluster = schedule
    words = ("--name", NAME, *LONG, "--cron")
    assert "created" in cluster.kdflow(*cluster.release("schedule", *words, "* * * * *"))
    until(lambda: runs_of_schedule(cluster))
    run = runs_of_schedule(cluster)[-1]
    assert "replaced" in cluster.kdflow(*cluster.release("schedule", *words, "0 3 * * 1"))
    assert "unchanged" in cluster.kdflow(*cluster.release("schedule", *words, "0 3 * * 1"))
    assert NAME in cluster.kdflow("schedules")
    cluster.kdflow("unschedule", NAME)
    assert NAME not in cluster.kdflow("schedules")
    cluster.until_epoch(run, "train_teacher", 10)

    assert "run stopped" in cluster.kdflow("stop", run)
    assert re.search(r": stopped$", cluster.kdflow("status", run), re.MULTILINE)
    parents, children = cluster.mlflow(run)
    assert [parent.info.status for parent in parents] == ["KILLED"]
    assert not [child for child in children if child.info.status == "RUNNING"]

    assert "goes on" in cluster.kdflow("retry", run)
    cluster.wait(run, "succeeded")
    assert "resuming after epoch" in cluster.log(run, "train_teacher")
    (parent,), children = cluster.mlflow(run)
    assert parent.info.status == "FINISHED"
    assert not [child for child in children if child.info.status == "RUNNING"]
