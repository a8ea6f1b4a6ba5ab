"""The pipeline: which task follows which, and what goes between them."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Metrics, Model, PipelineTask
from kfp.dsl.graph_component import GraphComponent

from components.params.models import Params
from pipeline import steps
from pipeline.cluster import Cluster
from pipeline.placement import place

NAME = "kdflow"


class Outputs(NamedTuple):
    """What each step leaves."""

    prepare_data: Dataset
    train_teacher: Model
    train_baseline: Model
    compute_info_maps: Dataset
    distill_student: Model
    evaluate: Metrics
    register_model: Model


def build(cluster: Cluster | None = None, fixed_image: str = "") -> GraphComponent:
    """The graph for a `cluster`, with its settings at every task; or for this machine, where only the image of containers counts."""

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
        def settle(task: PipelineTask, cached: bool = True) -> PipelineTask:
            if cluster:
                place(task, image, cluster)
            else:
                task.set_container_image(fixed_image)
            return task.set_caching_options(cached)

        origin = {"data": data, "data_repo": data_repo, "data_rev": data_rev}
        found = settle(steps.resolve_data(**origin), cached=False)
        prepared = settle(steps.prepare_data(**origin, data_version=found.outputs["data_version"]))
        dataset = _handed("dataset", prepared, "dataset")

        recipe = {"augment": augment, "seed": seed}
        taught = settle(steps.train_teacher(**recipe, teacher=teacher, **dataset))
        alone = settle(steps.train_baseline(**recipe, student=student, train_baseline=train_baseline, **dataset))
        mapped = settle(steps.compute_info_maps(info_maps=info_maps, **dataset, **_handed("teacher", taught)))
        maps = _handed("maps", mapped, "maps")
        lesson = {"distill": distill, **_handed("teacher", taught), **maps}
        distilled = settle(steps.distill_student(**recipe, student=student, **dataset, **lesson))

        models = {**_handed("teacher_model", taught), **_handed("baseline_model", alone), **_handed("student_model", distilled)}
        shown = {"distill": distill, "info_maps": info_maps, "student": student, "teacher": teacher}
        scored = settle(steps.evaluate(**recipe, **shown, evaluate=evaluate, **dataset, **maps, **models))

        made = {**_handed("teacher_model", taught), **_handed("student_model", distilled), **_handed("evaluation", scored, "metrics")}
        lineage = {**recipe, **shown, "data": data, "evaluate": evaluate}
        registered = settle(steps.register_model(**lineage, register_model=register_model, **dataset, **made), cached=False)
        return Outputs(
            prepare_data=prepared.outputs["dataset"],
            train_teacher=taught.outputs["model"],
            train_baseline=alone.outputs["model"],
            compute_info_maps=mapped.outputs["maps"],
            distill_student=distilled.outputs["model"],
            evaluate=scored.outputs["metrics"],
            register_model=registered.outputs["export"],
        )

    return kdflow


def arguments(
    params: Params, data_repo: str = "", data_rev: str = "", train_baseline: bool = True, image: str | None = None
) -> dict[str, Any]:
    """The pipeline's parameters: one for each section of params.yaml that it uses, where the data are, and what to run."""
    sections = params.model_dump(mode="json", exclude={"compose_scenes"})
    given = {"image": image} if image else {}
    return sections | {"data_repo": data_repo, "data_rev": data_rev, "train_baseline": train_baseline} | given


def _handed(name: str, task: PipelineTask, artifact: str = "model") -> dict[str, Any]:
    """An artifact as the input `name` of another task, with its digest: Kubeflow's cache does not look into artifacts."""
    return {name: task.outputs[artifact], f"{name.removesuffix('_model')}_digest": task.outputs["digest"]}


def _config(cluster: Cluster | None) -> dsl.PipelineConfig | None:
    if cluster is None:
        return None
    return dsl.PipelineConfig(ttl_seconds_after_finished=cluster.run.ttl, active_deadline_seconds=cluster.run.deadline)
