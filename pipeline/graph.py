"""The pipeline: which task follows which, and what goes between them."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Metrics, Model, PipelineTask
from kfp.dsl.graph_component import GraphComponent

from components.params import Params
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


def build(cluster: Cluster | None = None, image: str = "") -> GraphComponent:
    """The graph for a `cluster`, with its settings at every task, or for this machine, where only the `image` of containers counts."""
    fixed = image

    def settle(task: PipelineTask, image: Any, cached: bool = True) -> PipelineTask:
        if cluster:
            place(task, image, cluster)
        else:
            task.set_container_image(fixed)
        return task.set_caching_options(cached)

    @dsl.pipeline(name=NAME, description="Train a teacher, distil a student, compare and register it.", pipeline_config=_config(cluster))
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
        origin = {"data": data, "data_repo": data_repo, "data_rev": data_rev}
        found = settle(steps.resolve_data(**origin), image, cached=False)
        prepared = settle(steps.prepare_data(**origin, data_version=found.outputs["data_version"]), image)
        dataset = {"data": prepared.outputs["dataset"], "data_digest": prepared.outputs["digest"]}
        recipe = {"augment": augment, "seed": seed}

        taught = settle(steps.train_teacher(**recipe, teacher=teacher, **dataset), image)
        alone = settle(steps.train_baseline(**recipe, student=student, train_baseline=train_baseline, **dataset), image)
        teaching = {"teacher": taught.outputs["model"], "teacher_digest": taught.outputs["digest"]}
        mapped = settle(steps.compute_info_maps(info_maps=info_maps, **dataset, **teaching), image)
        maps = {"maps": mapped.outputs["maps"], "maps_digest": mapped.outputs["digest"]}
        distilled = settle(steps.distill_student(**recipe, distill=distill, student=student, **dataset, **teaching, **maps), image)

        settings = {"distill": distill, "evaluate": evaluate, "info_maps": info_maps, "student": student, "teacher": teacher}
        models = {"teacher_model": taught, "baseline_model": alone, "student_model": distilled}
        digests = {f"{name.removesuffix('_model')}_digest": task.outputs["digest"] for name, task in models.items()}
        artifacts = {name: task.outputs["model"] for name, task in models.items()}
        scored = settle(steps.evaluate(**recipe, **settings, **dataset, **maps, **artifacts, **digests), image)

        settings = {"evaluate": evaluate, "register_model": register_model}
        student_made = {"student": distilled.outputs["model"], "student_digest": distilled.outputs["digest"]}
        scores = {"evaluation": scored.outputs["metrics"], "evaluation_digest": scored.outputs["digest"]}
        registered = settle(steps.register_model(**settings, **dataset, **teaching, **student_made, **scores), image, cached=False)
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


def _config(cluster: Cluster | None) -> dsl.PipelineConfig | None:
    if cluster is None:
        return None
    return dsl.PipelineConfig(ttl_seconds_after_finished=cluster.run.ttl, active_deadline_seconds=cluster.run.deadline)
