"""The settings of a cluster: `pipeline/cluster.yaml`, parsed by strict models."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from components.params import Section
from kd.errors import InputError


class RunLimits(Section):
    ttl: int
    deadline: int


class Cluster(Section):
    image: str | None
    namespace: str
    service_account: str
    run: RunLimits
    model_config = {"extra": "ignore"}


def load_cluster(path: Path = Path(__file__).with_name("cluster.yaml")) -> Cluster:
    return Cluster.model_validate(yaml.safe_load(path.read_text()))
