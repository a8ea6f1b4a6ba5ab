"""Apply the settings of a cluster to a task: image, resources, scheduling, retries and environment."""

from kfp import kubernetes
from kfp.dsl import PipelineTask
from kfp.dsl.pipeline_channel import PipelineChannel

from pipeline.cluster import Cluster, StepName, StepSettings
from pipeline.launch import TRAININGS
from pipeline.pods import PodSettings

FIRST_STEP = "resolve_data"
RUN_ID = "metadata.labels['pipeline/runid']"
QUEUE_LABEL, PRIORITY_LABEL = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"
CERTIFICATES = "/etc/kdflow/certificates"
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO")
"""Read by OpenSSL, by requests (MLflow), by boto3 (DVC), and by git."""


def configure_task(
    task: PipelineTask, image: PipelineChannel | str | None, cluster: Cluster, step: StepName, gpus: PipelineChannel | None = None
) -> None:
    """Set the image of `task`, usually to the run's parameter, and apply the settings of a step.

    Args:
        task: the task.
        image: its image.
        cluster: the settings.
        step: the step whose settings are applied.
        gpus: output of another task with the number of GPUs as text; None for the number in the settings.
    """
    task.set_container_image(image)
    _set_resources(task, cluster.steps[step], gpus)
    waits = step == FIRST_STEP and cluster.run.overlap == "wait"
    _set_scheduling(task, cluster.steps[step], cluster.run.deadline, cluster.run.deadline if waits else cluster.steps[step].timeout)
    _set_pod(task, cluster.pods)
    _set_environment(task, cluster)
    if step == FIRST_STEP:
        task.set_env_variable("KDFLOW_OVERLAP", cluster.run.overlap)
    if step in TRAININGS:
        mount_checkpoints(task, cluster)
        task.set_env_variable("KDFLOW_RESTARTS", str(cluster.steps[step].retry.times))


def mount_checkpoints(task: PipelineTask, cluster: Cluster) -> None:
    """Mount the volume for checkpoints."""
    kubernetes.mount_pvc(task, cluster.checkpoints.claim, cluster.checkpoints.path)
    task.set_env_variable("KDFLOW_CHECKPOINTS", cluster.checkpoints.path)


def _set_resources(task: PipelineTask, settings: StepSettings, gpus: PipelineChannel | None) -> None:
    task.set_cpu_request(settings.cpu).set_cpu_limit(settings.cpu)
    task.set_memory_request(settings.memory).set_memory_limit(settings.memory)
    if settings.gpu:
        task.set_accelerator_type(settings.gpu.type).set_accelerator_limit(settings.gpu.count if gpus is None else gpus)
    if settings.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=settings.shared_memory)


def _set_scheduling(task: PipelineTask, settings: StepSettings, deadline: int, timeout: int) -> None:
    retry = settings.retry
    # what KFP calls the maximum duration of the backoff is the time from the first attempt within which all retries must end
    task.set_retry(retry.times, f"{retry.wait}s", retry.factor, f"{deadline}s")
    kubernetes.set_timeout(task, timeout)
    for label, value in settings.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in settings.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump())
    required = [affinity.match_expression() for affinity in settings.node_affinity if not affinity.weight]
    if required:
        kubernetes.add_node_affinity(task, required)  # one term, because terms are alternatives
    for affinity in settings.node_affinity:
        if affinity.weight:
            kubernetes.add_node_affinity(task, [affinity.match_expression()], weight=affinity.weight)


def _set_pod(task: PipelineTask, pods: PodSettings) -> None:
    if pods.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, pods.image_pull_secrets)
    if pods.security_context:
        kubernetes.set_security_context(task, **pods.security_context.model_dump(), run_as_non_root=True)
    kueue = {QUEUE_LABEL: pods.kueue_queue, PRIORITY_LABEL: pods.kueue_priority}
    labels = pods.labels | {label: value for label, value in kueue.items() if value}
    for key, value in labels.items():
        kubernetes.add_pod_label(task, key, value)
    for key, value in pods.annotations.items():
        kubernetes.add_pod_annotation(task, key, value)
    if pods.certificates:
        kubernetes.use_config_map_as_volume(task, pods.certificates.config_map, CERTIFICATES)
        for name in CERTIFICATE_VARIABLES:
            task.set_env_variable(name, f"{CERTIFICATES}/{pods.certificates.key}")
    if pods.proxy:
        for name, value in (
            ("http_proxy", pods.proxy.http),
            ("https_proxy", pods.proxy.https),
            ("no_proxy", ",".join(pods.proxy.no_proxy)),
        ):
            task.set_env_variable(name, value)  # programs differ in which case they read
            task.set_env_variable(name.upper(), value)


def _set_environment(task: PipelineTask, cluster: Cluster) -> None:
    for name, variables in cluster.secrets.items():
        kubernetes.use_secret_as_env(task, name, variables)
    for name, variables in cluster.config_maps.items():
        kubernetes.use_config_map_as_env(task, name, variables)
    task.set_env_variable("KDFLOW_CLUSTER", "true")
    kubernetes.use_field_path_as_env(task, "KDFLOW_EXECUTION", RUN_ID)  # one parent run in MLflow per pipeline run
