"""What Kubeflow reads of the compiled pipeline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
IMAGE = "registry.example.org/kdflow@sha256:" + "0" * 64
STEP = "compute_info_maps"
OTHER = "register_model"
Change = Callable[[dict[str, Any]], Any]


class Compiled:
    """What Kubeflow reads: a task, its container, and what Kubernetes adds to its pod."""

    def __init__(self, text: str) -> None:
        self.spec, platforms = yaml.safe_load_all(text)
        self.kubernetes = platforms["platforms"]["kubernetes"]

    def task(self, step: str = STEP) -> dict[str, Any]:
        return self.spec["root"]["dag"]["tasks"][step.replace("_", "-")]

    def container(self, step: str = STEP) -> dict[str, Any]:
        return self.spec["deploymentSpec"]["executors"][f"exec-{step.replace('_', '-')}"]["container"]

    def pod(self, step: str = STEP) -> dict[str, Any]:
        return self.kubernetes["deploymentSpec"]["executors"][f"exec-{step.replace('_', '-')}"]


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container.get("env", ())}
