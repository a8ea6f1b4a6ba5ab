"""The settings of a cluster in `pipeline/cluster.yaml`, as pydantic models."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, Field, ValidationError

from components.params.models import Section
from components.params.yaml_text import parse_yaml
from kd.errors import InputError
from pipeline.overlap import Overlap
from pipeline.pods import Label, Name, NodeAffinity, PodSettings

SETTINGS = Path(__file__).with_name("cluster.yaml")
StepName = Literal[
    "resolve_data",
    "prepare_data",
    "train_teacher",
    "train_baseline",
    "compute_info_maps",
    "distill_student",
    "evaluate",
    "register_model",
]
Seconds = Annotated[int, Field(ge=1)]
Cpu = Annotated[str, Field(pattern=r"^\d+(\.\d+)?m?$")]
Memory = Annotated[str, Field(pattern=r"^\d+(K|M|G|T|Ki|Mi|Gi|Ti)?$")]


def _check_variable(name: str) -> str:
    if name.startswith(("AWS_", "MLFLOW_")):
        raise ValueError(f"Kubeflow's launcher in the same container reads AWS_ and MLFLOW_ variables, too; write KDFLOW_{name}")
    return name


Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(_check_variable)]
Image = Annotated[str, Field(pattern=r"^[^\s@]+@sha256:[0-9a-f]{64}$")]
Variables = dict[Name, dict[str, Variable]]
"""Maps the name of each Secret or ConfigMap to its keys, and each key to the environment variable that gets its value."""


class Gpu(Section):
    """GPUs of one node. Trainings, compute_info_maps and evaluate run one process per GPU."""

    type: str = Field(description="name of the resource, such as nvidia.com/gpu")
    count: Annotated[int, Field(ge=1)]


class Toleration(Section):
    """A toleration of a step's pod for a taint."""

    key: str
    operator: Literal["Equal", "Exists"]
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Retry(Section):
    """Retries of a failed step, within the deadline of the run."""

    times: Annotated[int, Field(ge=0)]
    wait: Annotated[int, Field(ge=0)] = Field(description="seconds before the first retry")
    factor: Annotated[int, Field(ge=1, strict=True)] = Field(description="factor of the waiting time from one retry to the next")


class StepSettings(Section):
    """Resources, scheduling and retries of one step."""

    cpu: Cpu
    memory: Memory
    gpu: Gpu | None
    node_selector: dict[str, str]
    tolerations: list[Toleration]
    node_affinity: list[NodeAffinity]
    shared_memory: Memory | None = Field(description="size of /dev/shm, in memory")
    timeout: Seconds = Field(description="seconds for one attempt")
    retry: Retry


class RunLimits(Section):
    """Limits of a run, in seconds, and what it does while an earlier run is under way."""

    deadline: Seconds
    ttl: Annotated[int, Field(ge=1, le=86400)] = Field(description="Kubeflow's persistence agent deletes a finished workflow after a day")
    overlap: Overlap


class Checkpoints(Section):
    """The volume for checkpoints, from which a killed training resumes."""

    claim: Label
    path: Annotated[str, Field(pattern=r"^/")]


class Cluster(Section):
    """All of `cluster.yaml`, with the defaults applied to every step."""

    image: Image | None
    namespace: Label
    service_account: Name | None
    ui: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")] | None
    data_repo: str | None
    data_rev: str | None
    run: RunLimits
    pods: PodSettings
    secrets: Variables
    config_maps: Variables
    checkpoints: Checkpoints
    steps: dict[StepName, StepSettings]


def load_cluster(path: Path = SETTINGS, image: str | None = None) -> Cluster:
    """Read and validate the settings; `image` replaces the one in the file.

    Raises:
        InputError: if the file is missing or a setting is missing, unknown or invalid.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "is missing", "restore it from git") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(path, f"is not YAML: {' '.join(str(error).split())}", "correct that line") from None
    try:
        return Cluster.model_validate(_apply_defaults(content) | ({"image": image} if image else {}))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"] if part != "[key]")
        where = "--image" if image and name == "image" else path
        raise InputError(
            where,
            f"'{name}' is {first['input']!r}: {first['msg'].removeprefix('Value error, ')}",
            "correct it; the file explains each setting",
        ) from None


def _apply_defaults(settings: Any) -> dict[str, Any]:
    """The settings with the defaults merged into every step."""
    content: dict[str, Any] = dict(settings) if isinstance(settings, dict) else {}
    defaults, steps = content.pop("defaults", None) or {}, content.get("steps") or {}
    return content | {"steps": {name: {**defaults, **(steps.get(name) or {})} for name in (*get_args(StepName), *steps)}}
