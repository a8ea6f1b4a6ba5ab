"""The settings of a cluster, at a task of the graph."""

from kfp import kubernetes
from kfp.dsl import PipelineTask
from kfp.dsl.pipeline_channel import PipelineChannel

from pipeline.cluster import Cluster, Placement
from pipeline.launch import TRAININGS

RUN_ID = "metadata.labels['pipeline/runid']"


def place(task: PipelineTask, image: PipelineChannel, cluster: Cluster) -> None:
    """Give `task` the image that a run names, and what `cluster` says for its step."""
    step = task.name.replace("-", "_")
    task.set_container_image(image)
    _resources(task, cluster.steps[step])
    _scheduling(task, cluster.steps[step])
    _environment(task, cluster)
    if step in TRAININGS:
        kubernetes.mount_pvc(task, cluster.checkpoints.claim, cluster.checkpoints.path)
        task.set_env_variable("KDFLOW_CHECKPOINTS", cluster.checkpoints.path)


def _resources(task: PipelineTask, needs: Placement) -> None:
    task.set_cpu_request(needs.cpu).set_cpu_limit(needs.cpu)
    task.set_memory_request(needs.memory).set_memory_limit(needs.memory)
    if needs.gpu:
        task.set_accelerator_type(needs.gpu.type).set_accelerator_limit(needs.gpu.count)
    if needs.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=needs.shared_memory)


def _scheduling(task: PipelineTask, needs: Placement) -> None:
    retry = needs.retry
    task.set_retry(retry.times, f"{retry.wait}s", retry.factor, f"{retry.longest}s")
    kubernetes.set_timeout(task, needs.timeout)
    for label, value in needs.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in needs.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump())


def _environment(task: PipelineTask, cluster: Cluster) -> None:
    for name, variables in cluster.secrets.items():
        kubernetes.use_secret_as_env(task, name, variables)
    for name, variables in cluster.config_maps.items():
        kubernetes.use_config_map_as_env(task, name, variables)
    kubernetes.use_field_path_as_env(task, "KDFLOW_EXECUTION", RUN_ID)  # one parent in MLflow for all steps of a run
