"""Apply the settings of a cluster to a task: image, resources, scheduling, retries and environment."""

from kfp import kubernetes
from kfp.dsl import PipelineTask
from kfp.dsl.pipeline_channel import PipelineChannel

from pipeline.cluster import Cluster, StepName, StepSettings
from pipeline.launch import TRAININGS

RUN_ID = "metadata.labels['pipeline/runid']"


def configure_task(task: PipelineTask, image: PipelineChannel | str | None, cluster: Cluster, step: StepName) -> None:
    """Set the image of `task`, usually to the run's parameter, and apply the settings of a step."""
    task.set_container_image(image)
    _set_resources(task, cluster.steps[step])
    _set_scheduling(task, cluster.steps[step], cluster.run.deadline)
    _set_environment(task, cluster)
    if step in TRAININGS:
        mount_checkpoints(task, cluster)
        task.set_env_variable("KDFLOW_RESTARTS", str(cluster.steps[step].retry.times))


def mount_checkpoints(task: PipelineTask, cluster: Cluster) -> None:
    """Mount the volume for checkpoints."""
    kubernetes.mount_pvc(task, cluster.checkpoints.claim, cluster.checkpoints.path)
    task.set_env_variable("KDFLOW_CHECKPOINTS", cluster.checkpoints.path)


def _set_resources(task: PipelineTask, settings: StepSettings) -> None:
    task.set_cpu_request(settings.cpu).set_cpu_limit(settings.cpu)
    task.set_memory_request(settings.memory).set_memory_limit(settings.memory)
    if settings.gpu:
        task.set_accelerator_type(settings.gpu.type).set_accelerator_limit(settings.gpu.count)
    if settings.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=settings.shared_memory)


def _set_scheduling(task: PipelineTask, settings: StepSettings, deadline: int) -> None:
    retry = settings.retry
    # what KFP calls the maximum duration of the backoff is the time from the first attempt within which all retries must end
    task.set_retry(retry.times, f"{retry.wait}s", retry.factor, f"{deadline}s")
    kubernetes.set_timeout(task, settings.timeout)
    for label, value in settings.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in settings.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump())


def _set_environment(task: PipelineTask, cluster: Cluster) -> None:
    for name, variables in cluster.secrets.items():
        kubernetes.use_secret_as_env(task, name, variables)
    for name, variables in cluster.config_maps.items():
        kubernetes.use_config_map_as_env(task, name, variables)
    kubernetes.use_field_path_as_env(task, "KDFLOW_EXECUTION", RUN_ID)  # one parent run in MLflow per pipeline run
