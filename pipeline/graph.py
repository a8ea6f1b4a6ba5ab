"""The pipeline: its tasks, and the artifacts and parameters that they pass to each other."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Dataset, Metrics, Model, PipelineTask
from kfp.dsl.graph_component import GraphComponent
from kfp.dsl.pipeline_channel import PipelineChannel

from components.params.models import Params
from pipeline import steps
from pipeline.cluster import Cluster
from pipeline.task_settings import configure_task

NAME = "kdflow"


class Outputs(NamedTuple):
    """The output artifact of each step, and the report of `evaluate`."""

    prepare_data: Dataset
    train_teacher: Model
    train_baseline: Model
    compute_info_maps: Dataset
    distill_student: Model
    evaluate: Metrics
    register_model: Model
    report: HTML


def build_pipeline(cluster: Cluster | None = None, fixed_image: str = "") -> GraphComponent:
    """The pipeline: for a `cluster`, with its settings for each task, or without one for this machine, with all tasks in `fixed_image`."""

    @dsl.pipeline(name=NAME, description="Train a teacher, distill a student, compare and register it.", pipeline_config=_config(cluster))
    def kdflow(
        image: str,
        data_repo: str,
        data_rev: str,
        train_baseline: bool,
        seed: int,
        data: dict,
        augment: dict,
        teacher: dict,
        info_maps: dict,
        student: dict,
        distill: dict,
        evaluate: dict,
        register_model: dict,
    ) -> Outputs:
        def configure(task: PipelineTask, cached: bool = True, gpus: PipelineChannel | None = None) -> PipelineTask:
            if cluster:
                configure_task(task, image, cluster, task.name.replace("-", "_"), gpus)
            else:
                task.set_container_image(fixed_image)
            return task.set_caching_options(cached)

        source = {"data_repo": data_repo, "data_rev": data_rev}
        checked = {"data": data, "register_model": register_model, "teacher": teacher, "student": student}
        baseline = {"train_baseline": train_baseline, "gpus": _gpus(cluster)}
        resolve_task = configure(steps.resolve_data(**source, **checked, **baseline), cached=False)
        data_task = configure(steps.prepare_data(data=data, data_version=resolve_task.outputs["data_version"]))
        dataset = _artifact_input("dataset", data_task)

        common = {"augment": augment, "seed": seed}
        teacher_weights, student_weights = (resolve_task.outputs[f"{role}_weights"] for role in ("teacher", "student"))
        teacher_task = configure(steps.train_teacher(**common, teacher=teacher, weights=teacher_weights, **dataset))
        twins = {**common, "student": student, "weights": student_weights, **dataset}
        baseline_task = steps.train_baseline(**twins, train_baseline=train_baseline)
        configure(baseline_task, gpus=resolve_task.outputs["baseline_gpus"])
        trained_teacher = _artifact_input("teacher", teacher_task, "teacher_model")
        maps_task = configure(steps.compute_info_maps(info_maps=info_maps, **dataset, **trained_teacher))
        maps = _artifact_input("maps", maps_task)
        student_task = configure(steps.distill_student(**twins, distill=distill, **trained_teacher, **maps))

        models = {**_artifact_input("teacher_model", teacher_task), **_artifact_input("student_model", student_task)}
        sections = {**common, "distill": distill, "info_maps": info_maps, "student": student, "teacher": teacher, "evaluate": evaluate}
        compared = {**models, **_artifact_input("baseline_model", baseline_task)}
        evaluate_task = configure(steps.evaluate(**sections, **dataset, **maps, **compared))

        evaluation = _artifact_input("evaluation", evaluate_task, "metrics")
        sections |= {"data": data, "register_model": register_model}
        register_task = configure(steps.register_model(**sections, **dataset, **models, **evaluation), cached=False)
        return Outputs(
            prepare_data=data_task.outputs["dataset"],
            train_teacher=teacher_task.outputs["teacher_model"],
            train_baseline=baseline_task.outputs["baseline_model"],
            compute_info_maps=maps_task.outputs["maps"],
            distill_student=student_task.outputs["student_model"],
            evaluate=evaluate_task.outputs["metrics"],
            register_model=register_task.outputs["export"],
            report=evaluate_task.outputs["report"],
        )

    return kdflow


def pipeline_arguments(
    params: Params, data_repo: str = "", data_rev: str = "", train_baseline: bool = True, image: str | None = None
) -> dict[str, Any]:
    """The pipeline's arguments: the sections of params.yaml, the source of the data, and whether to train the baseline."""
    sections = params.model_dump(mode="json", exclude={"compose_scenes"})
    images = {"image": image} if image else {}
    return sections | {"data_repo": data_repo, "data_rev": data_rev, "train_baseline": train_baseline} | images


def _artifact_input(name: str, task: PipelineTask, artifact: str = "") -> dict[str, Any]:
    """Pass an artifact of `task`, by default `name`, as input `name`, with its digest: Kubeflow's cache key has no content of artifacts."""
    return {name: task.outputs[artifact or name], f"{name.removesuffix('_model')}_digest": task.outputs["digest"]}


def _gpus(cluster: Cluster | None) -> int:
    """The number of GPUs of `train_baseline`, which the first task passes on unless that step is skipped."""
    gpu = cluster and cluster.steps["train_baseline"].gpu
    return gpu.count if gpu else 0


def _config(cluster: Cluster | None) -> dsl.PipelineConfig | None:
    if cluster is None:
        return None
    return dsl.PipelineConfig(ttl_seconds_after_finished=cluster.run.ttl, active_deadline_seconds=cluster.run.deadline)
