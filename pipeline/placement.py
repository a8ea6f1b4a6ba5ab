"""The settings of a cluster, at a task."""

from typing import Any
from kfp.dsl import PipelineTask
from pipeline.cluster import Cluster


def place(task: PipelineTask, image: Any, cluster: Cluster) -> PipelineTask:
    task.set_container_image(image)
    return task
