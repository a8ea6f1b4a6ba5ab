"""The components of the pipeline: one for each step of dvc.yaml, and one that resolves the version of the data.

Kubeflow copies the source of each function into the compiled pipeline, so they only call `pipeline.launch` in the image.
The parameters `..._digest` and `data_version` are part of the cache key, because the content of artifacts is not.
"""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

# a placeholder: the image is a parameter of the pipeline
component = dsl.component(base_image="kdflow", install_kfp_package=False)


@component
def resolve_data(
    data: dict,
    register_model: dict,
    student: dict,
    teacher: dict,
    data_repo: str,
    data_rev: str,
    train_baseline: bool,
    gpus: int,
) -> NamedTuple("Outputs", data_version=str, teacher_weights=str, student_weights=str, baseline_gpus=str):
    """Check that MLflow and the data can be used, and resolve the versions of the data and the initial weights. Never cached.

    Args:
        data: The section `data` of params.yaml.
        register_model: The section `register_model` of params.yaml.
        student: The section `student` of params.yaml.
        teacher: The section `teacher` of params.yaml.
        data_repo: Git repository in which DVC tracks the data; empty for a folder on the machine that runs the step.
        data_rev: Commit, tag or branch; empty for the newest commit.
        train_baseline: False skips train_baseline.
        gpus: Number of GPUs of train_baseline, if it is not skipped.

    Returns:
        data_version: DVC's md5 of the data.
        teacher_weights: Version of the teacher's initial weights; empty for random weights.
        student_weights: Version of the student's initial weights; empty for random weights.
        baseline_gpus: Number of GPUs that train_baseline asks for, as text, which Kubeflow needs here.
    """
    from pipeline.launch import resolve_versions

    sections = {"data": data, "register_model": register_model, "student": student, "teacher": teacher}
    return (*resolve_versions(sections, data_repo, data_rev), str(int(gpus) if train_baseline else 0))


@component
def prepare_data(data: dict, data_version: str, dataset: Output[Dataset]) -> NamedTuple("Outputs", digest=str):
    """Download the labeled pictures of a revision, check and split them, and convert them to the format of the other steps.

    Repository and revision are no parameters, so that the same data at another revision are cached; resolve_data records them in MLflow.

    Args:
        data: The section `data` of params.yaml.
        data_version: The version from resolve_data; a new version makes this step run again.

    Returns:
        dataset: Pictures with labels in COCO format, and summary.json.
        digest: SHA-256 of the dataset's content.
    """
    from pipeline.launch import launch_prepare_data

    return (launch_prepare_data(data, data_version, dataset),)


@component
def train_teacher(
    augment: dict, seed: int, teacher: dict, weights: str, dataset_digest: str, dataset: Input[Dataset], teacher_model: Output[Model]
) -> NamedTuple("Outputs", digest=str):
    """Train the teacher. A killed training resumes after its last epoch.

    Args:
        augment: The section `augment` of params.yaml.
        seed: Random seed of the trainings.
        teacher: The section `teacher` of params.yaml.
        weights: Version of the initial weights; empty for random weights.
        dataset_digest: Digest of `dataset`.
        dataset: The prepared dataset.

    Returns:
        teacher_model: model.safetensors and history.csv.
        digest: SHA-256 of the model's content.
    """
    from pipeline.launch import launch_step

    sections = {"augment": augment, "seed": seed, "teacher": teacher}
    return (launch_step("train_teacher", sections, {"data": dataset}, teacher_model, weights),)


@component
def train_baseline(
    augment: dict,
    seed: int,
    student: dict,
    train_baseline: bool,
    weights: str,
    dataset_digest: str,
    dataset: Input[Dataset],
    baseline_model: Output[Model],
) -> NamedTuple("Outputs", digest=str):
    """Train the baseline: the student without a teacher. A killed training resumes after its last epoch.

    Args:
        augment: The section `augment` of params.yaml.
        seed: Random seed of the trainings.
        student: The section `student` of params.yaml.
        train_baseline: False skips this step; the report then compares only teacher and student.
        weights: Version of the initial weights; empty for random weights.
        dataset_digest: Digest of `dataset`.
        dataset: The prepared dataset.

    Returns:
        baseline_model: model.safetensors and history.csv.
        digest: SHA-256 of the model's content; empty if the step was skipped.
    """
    from pipeline.launch import launch_step, skip

    if not train_baseline:
        return (skip(baseline_model),)
    sections = {"augment": augment, "seed": seed, "student": student}
    return (launch_step("train_baseline", sections, {"data": dataset}, baseline_model, weights),)


@component
def compute_info_maps(
    info_maps: dict, dataset_digest: str, teacher_digest: str, dataset: Input[Dataset], teacher: Input[Model], maps: Output[Dataset]
) -> NamedTuple("Outputs", digest=str):
    """Compute the information maps: the importance of each position of the teacher's features, for every training picture.

    Args:
        info_maps: The section `info_maps` of params.yaml.
        dataset_digest: Digest of `dataset`.
        teacher_digest: Digest of `teacher`.
        dataset: The prepared dataset.
        teacher: The trained teacher.

    Returns:
        maps: One NumPy file per tap, channel statistics, and index.json.
        digest: SHA-256 of the maps' content.
    """
    from pipeline.launch import launch_step

    return (launch_step("compute_info_maps", {"info_maps": info_maps}, {"data": dataset, "teacher": teacher}, maps),)


@component
def distill_student(
    augment: dict,
    distill: dict,
    seed: int,
    student: dict,
    weights: str,
    dataset_digest: str,
    teacher_digest: str,
    maps_digest: str,
    dataset: Input[Dataset],
    teacher: Input[Model],
    maps: Input[Dataset],
    student_model: Output[Model],
) -> NamedTuple("Outputs", digest=str):
    """Distill the teacher into the student. A killed training resumes after its last epoch.

    Args:
        augment: The section `augment` of params.yaml.
        distill: The section `distill` of params.yaml.
        seed: Random seed of the trainings.
        student: The section `student` of params.yaml.
        weights: Version of the initial weights; empty for random weights.
        dataset_digest: Digest of `dataset`.
        teacher_digest: Digest of `teacher`.
        maps_digest: Digest of `maps`.
        dataset: The prepared dataset.
        teacher: The trained teacher.
        maps: The information maps.

    Returns:
        student_model: model.safetensors and history.csv.
        digest: SHA-256 of the model's content.
    """
    from pipeline.launch import launch_step

    sections = {"augment": augment, "distill": distill, "seed": seed, "student": student}
    return (launch_step("distill_student", sections, {"data": dataset, "teacher": teacher, "maps": maps}, student_model, weights),)


@component
def evaluate(
    augment: dict,
    distill: dict,
    evaluate: dict,
    info_maps: dict,
    seed: int,
    student: dict,
    teacher: dict,
    dataset_digest: str,
    teacher_digest: str,
    baseline_digest: str,
    maps_digest: str,
    student_digest: str,
    dataset: Input[Dataset],
    teacher_model: Input[Model],
    baseline_model: Input[Model],
    maps: Input[Dataset],
    student_model: Input[Model],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> NamedTuple("Outputs", digest=str):
    """Evaluate teacher, baseline and distilled student on the test pictures, and write a report.

    Args:
        augment: The section `augment` of params.yaml; like all sections but `evaluate`, only shown in the report.
        distill: The section `distill` of params.yaml.
        evaluate: The section `evaluate` of params.yaml.
        info_maps: The section `info_maps` of params.yaml.
        seed: Random seed of the trainings.
        student: The section `student` of params.yaml.
        teacher: The section `teacher` of params.yaml.
        dataset_digest: Digest of `dataset`.
        teacher_digest: Digest of `teacher_model`.
        baseline_digest: Digest of `baseline_model`; empty if it was skipped.
        maps_digest: Digest of `maps`.
        student_digest: Digest of `student_model`.
        dataset: The prepared dataset.
        teacher_model: The trained teacher.
        baseline_model: The student trained without a teacher.
        maps: The information maps.
        student_model: The distilled student.

    Returns:
        metrics: The scores in points, of 100; its files are metrics.json and the data of plots.
        report: The report, a self-contained HTML file.
        digest: SHA-256 of the content of `metrics` and `report`.
    """
    from pipeline.launch import launch_evaluate

    sections = {"augment": augment, "distill": distill, "evaluate": evaluate, "info_maps": info_maps, "seed": seed}
    sections |= {"student": student, "teacher": teacher}
    models = {"teacher": teacher_model, "baseline": baseline_model if baseline_digest else None, "student": student_model}
    return (launch_evaluate(sections, {"data": dataset, "maps": maps, **models}, metrics, report),)


@component
def register_model(
    augment: dict,
    data: dict,
    distill: dict,
    evaluate: dict,
    info_maps: dict,
    register_model: dict,
    seed: int,
    student: dict,
    teacher: dict,
    dataset_digest: str,
    teacher_digest: str,
    student_digest: str,
    evaluation_digest: str,
    dataset: Input[Dataset],
    teacher_model: Input[Model],
    student_model: Input[Model],
    evaluation: Input[Metrics],
    export: Output[Model],
) -> NamedTuple("Outputs", digest=str):
    """Export the student to ONNX, check the export, and register it in MLflow's model registry. Never cached.

    Args:
        augment: The section `augment` of params.yaml; like all sections but `evaluate` and `register_model`, only for the model's tags.
        data: The section `data` of params.yaml.
        distill: The section `distill` of params.yaml.
        evaluate: The section `evaluate` of params.yaml.
        info_maps: The section `info_maps` of params.yaml.
        register_model: The section `register_model` of params.yaml.
        seed: Random seed of the trainings.
        student: The section `student` of params.yaml.
        teacher: The section `teacher` of params.yaml.
        dataset_digest: Digest of `dataset`.
        teacher_digest: Digest of `teacher_model`.
        student_digest: Digest of `student_model`.
        evaluation_digest: Digest of `evaluation`.
        dataset: The prepared dataset.
        teacher_model: The trained teacher.
        student_model: The distilled student.
        evaluation: The scores.

    Returns:
        export: student.onnx and decision.json.
        digest: SHA-256 of the export's content.
    """
    from pipeline.launch import launch_step

    sections = {"augment": augment, "data": data, "distill": distill, "evaluate": evaluate, "info_maps": info_maps, "seed": seed}
    sections |= {"register_model": register_model, "student": student, "teacher": teacher}
    inputs = {"data": dataset, "teacher": teacher_model, "student": student_model, "evaluation": evaluation}
    return (launch_step("register_model", sections, inputs, export),)
