"""Run the checks of `pipeline.doctor.pod` in a pod with the environment of the steps: submit a pipeline of one step, and read its log.

The pod cannot import this module: Kubeflow starts a step with `_KFP_RUNTIME=true`, and KFP's compiler cannot be imported then.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from kfp import dsl
from kfp.compiler import Compiler

from pipeline.cluster import Cluster, StepName
from pipeline.doctor.check import Check
from pipeline.doctor.pod import PREFIX
from pipeline.logs import pods_of_step, read_log
from pipeline.release import PIPELINE, hide_output
from pipeline.server_error import ServerError
from pipeline.status import ENDED, read_status
from pipeline.task_settings import configure_task, mount_checkpoints

if TYPE_CHECKING:
    from pipeline.client import Client

STEP: StepName = "resolve_data"
"""The step whose CPU, memory and placement the pod gets."""
PAUSE, MAX_POLLS = 5.0, 120
MAX_FAILURES = 10
"""A request is given up after this many failures in a row."""
REMEDY = "Kubeflow's page of the run 'kdflow doctor' shows the reason"
Answer = TypeVar("Answer")


@dsl.component(base_image="kdflow", install_kfp_package=False)
def check_cluster(path: str, unlabelled: str, models: list, weights: list, repo: str, rev: str) -> None:
    """Print the results of the checks.

    Args:
        path: Folder of the data in the repository.
        unlabelled: Folder of the pictures without labels there; may be empty.
        models: Names of the registered models.
        weights: Initial weights of the trainings, teacher.init and student.init.
        repo: Git repository with the data; may be empty.
        rev: Its commit, tag or branch.
    """
    from pipeline.doctor.pod import print_checks

    print_checks(path, unlabelled, models, weights, repo, rev)


def check_in_cluster(client: "Client", cluster: Cluster, namespace: str, **arguments: Any) -> list[Check]:
    """Run the checks in a pod, and wait for their results.

    Args:
        client: the server.
        cluster: the settings of the steps; its image is used.
        namespace: the namespace of the run.
        arguments: passed to `check_pod`.
    """
    run_id = _start(client, cluster, namespace, arguments)
    for _ in range(MAX_POLLS):
        if _ask(lambda: read_status(client, run_id, ())).state in ENDED:
            break
        time.sleep(PAUSE)
    else:
        client.runs.run_service_terminate_run(run_id)
        return [Check("pod", "fault", f"has not ended after {PAUSE * MAX_POLLS:.0f} s", REMEDY)]
    pods = _ask(lambda: pods_of_step(client, run_id, check_cluster.name))
    lines = _ask(lambda: read_log(client, run_id, pods[-1])).splitlines() if pods else []
    result = next((line.removeprefix(PREFIX) for line in lines if line.startswith(PREFIX)), None)
    if result is None:
        return [Check("pod", "fault", "ended without a result", REMEDY)]
    return [Check("pod", "ok", f"ran {cluster.image}"), *(Check(*check) for check in json.loads(result))]


def _ask(request: Callable[[], Answer]) -> Answer:
    """The result of a request, which is sent again if the server has a transient error."""
    for _ in range(MAX_FAILURES - 1):
        try:
            return request()
        except ServerError as error:
            if not error.is_transient:
                raise
            time.sleep(PAUSE)
    return request()


def _start(client: "Client", cluster: Cluster, namespace: str, arguments: dict[str, Any]) -> str:
    @dsl.pipeline(name="kdflow-doctor", description="The checks of `kdflow pipeline doctor --in-cluster`.")
    def doctor(path: str, unlabelled: str, models: list, weights: list, repo: str, rev: str) -> None:
        task = check_cluster(path=path, unlabelled=unlabelled, models=models, weights=weights, repo=repo, rev=rev)
        configure_task(task, cluster.image, cluster, STEP)
        mount_checkpoints(task, cluster)
        task.set_caching_options(False)

    with TemporaryDirectory() as folder, hide_output():
        package = Path(folder) / "doctor.yaml"
        Compiler().compile(doctor, str(package))
        run = client.create_run_from_pipeline_package(
            str(package), arguments, "kdflow doctor", PIPELINE, namespace, service_account=cluster.service_account
        )
    return str(run.run_id)
