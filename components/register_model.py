"""The step `register_model`: export the student, prove the export, and register it under its content."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.agreement import Agreement, agreement
from components.courier import masked
from components.execution import current_execution, git_tags
from components.export import export_onnx
from components.params import Params
from components.registry import Registry
from components.step import command
from components.tracking import store_uri
from kd.data.dataset import DetectionData
from kd.detection.evaluate import Selection
from kd.errors import InputError
from kd.files import digest, digest_of, read_json, write_json
from kd.model.store import load_model

if TYPE_CHECKING:
    from components.tracking import Run

MODEL = "model.safetensors"
SCORED = ("teacher", "baseline", "student")


def register_model(
    params: Params,
    run: "Run",
    data: Path = Path("outputs/prepare_data"),
    student: Path = Path("outputs/distill_student"),
    teacher: Path = Path("outputs/train_teacher"),
    evaluation: Path = Path("outputs/evaluate"),
    output: Path = Path("outputs/register_model"),
) -> None:
    """Export the student to ONNX, check the export against PyTorch, and register it as the challenger.

    It becomes the champion as well if no other model is. The same content registers once.

    Args:
        params: the section `register_model` is used, and the suppression of `evaluate`; all are in the lineage.
        run: the model's files are kept with this run.
        data: folder of the step prepare_data.
        student: folder of the step distill_student.
        teacher: folder of the step train_teacher.
        evaluation: folder of the step evaluate.
        output: folder for student.onnx and decision.json.

    Raises:
        InputError: if the export disagrees with PyTorch (nothing is registered then), or the registry fails.
    """
    facts = _facts(params, data, student, teacher, evaluation)
    exported = output / "student.onnx"
    image_size, agreed = _export(params, data, student / MODEL, exported)
    facts |= {"content": digest(exported), "export": _rounded(agreed, params.register_model.tolerance)}
    if run.id is None:
        raise InputError(masked(store_uri()), "the model registry does not answer", "start it, or mend MLFLOW_TRACKING_URI, then run again")
    registry = Registry(params.register_model.name)
    version = registry.register(exported, image_size, run.id, _tags(facts, params))
    decision, reason = _decide(registry, facts["content"])
    for alias in ("challenger", "champion") if decision == "promote" else ("challenger",):
        registry.point(alias, version)
    write_json(output / "decision.json", {"decision": decision, "reasons": [reason], **facts})
    run.metrics({f"export_{name}": value for name, value in agreed._asdict().items()})
    run.tag("kdflow.registered", f"{registry.name}/{version}")
    print(f"{registry.name} version {version}: {', '.join('@' + alias for alias in registry.aliases(version))} ({reason})")


def _facts(params: Params, data: Path, student: Path, teacher: Path, evaluation: Path) -> dict[str, Any]:
    """What the model is made of and how it scores: content, so equal for equal inputs."""
    metrics = read_json(evaluation / "metrics.json")
    return {
        "model": params.register_model.name,
        "student_digest": digest(student / MODEL),
        "teacher_digest": digest(teacher / MODEL),
        "data_digest": read_json(data / "summary.json")["digest"],
        "scores": {name: {key: metrics[name][key] for key in ("map", "map50")} for name in SCORED if name in metrics},
    }


def _export(params: Params, data: Path, student: Path, exported: Path) -> tuple[int, Agreement]:
    """Export the student and compare; the side of its input in pixels, and how well they agree."""
    section = params.register_model
    network, spec = load_model(student)
    selection = Selection(section.confidence, params.evaluate.nms_iou, params.evaluate.max_detections)
    export_onnx(network, spec, exported, selection, section.opset)
    agreed = agreement(network, spec, exported, DetectionData(data / "test", spec.image_size), selection, section.compare_pictures)
    if max(agreed.box_difference, agreed.score_difference) > section.tolerance:
        differences = f"boxes by {agreed.box_difference:g}, scores by {agreed.score_difference:g}; at most {section.tolerance:g} is allowed"
        problem = f"the ONNX export differs from PyTorch ({differences}), so nothing is registered"
        raise InputError("register_model.tolerance", problem, "try another register_model.opset")
    return spec.image_size, agreed


def _rounded(agreed: Agreement, tolerance: float) -> dict[str, float]:
    """The comparison, without what depends on the number of processor cores: the order of additions, some 1e-6."""
    return {**{name: round(value, 4) for name, value in agreed._asdict().items()}, "tolerance": tolerance}


def _tags(facts: dict[str, Any], params: Params) -> dict[str, str]:
    """The lineage of a version: what it was made of and by what."""
    digests = {f"kdflow.{name}": facts[name] for name in ("student_digest", "teacher_digest", "data_digest")}
    scores = {f"kdflow.{key}": f"{value:.6g}" for key, value in facts["scores"]["student"].items()}
    made_by = digest_of(params.model_dump(mode="json", exclude={"compose_scenes"}))
    return {**digests, **scores, "kdflow.params_digest": made_by, "kdflow.execution": current_execution().identity, **git_tags()}


def _decide(registry: Registry, content: str) -> tuple[str, str]:
    """Whether the model becomes the champion, and why; the same content gets the same answer again."""
    champion = registry.content_of("champion")
    if champion is None or champion == content:
        return "promote", "no other model is the champion"
    return "challenger", "another model is the champion"


if __name__ == "__main__":
    command(register_model)
