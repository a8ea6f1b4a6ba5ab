"""The step `register_model`: export the student, prove the export, register it under its content, and let the gate decide."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.params.models import Params
from components.register_model.export import export_onnx
from components.register_model.gate.run_gate import EXPORT_DIFFERENCE, GateResult, content, number
from components.register_model.parity import Parity, compare_export
from components.register_model.promotion import SUPERSEDED, Promotion
from components.register_model.registry import Registry
from components.runtime.execution import current_execution, git_tags
from components.runtime.recorder import mask_passwords
from components.runtime.tracking import tracking_uri
from kd.data.dataset import DetectionData
from kd.detection.evaluate import NMSConfig
from kd.errors import InputError
from kd.files import digest, digest_json, read_json, write_json
from kd.model.store import load_model

if TYPE_CHECKING:
    from components.runtime.tracking import Run

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
    """Export the student to ONNX, check the export against PyTorch, register it as the challenger, and let the gate decide.

    Challenger and champion, loaded from the registry as anybody loads them, are scored on the same test pictures. If every rule
    of `register_model.gate` is kept, the challenger becomes the champion; if not, the step succeeds with the decision "reject".
    The same content registers once, and a step that runs again decides the same.

    Args:
        params: the section `register_model` is used, and `evaluate` for the scoring; all are in the lineage.
        run: the model's files are kept with this run.
        data: folder of the step prepare_data.
        student: folder of the step distill_student.
        teacher: folder of the step train_teacher.
        evaluation: folder of the step evaluate.
        output: folder for student.onnx and decision.json.

    Raises:
        InputError: if the export disagrees with PyTorch or the champion cannot be loaded (nothing is registered then), or the
            registry fails.
    """
    facts = _facts(params, data, student, teacher, evaluation)
    exported = output / "student.onnx"
    agreed = _export(params, data, student / MODEL, exported)
    facts |= {"content": digest(exported), "export": _rounded(agreed, params.register_model.tolerance)}
    if run.id is None:
        raise InputError(mask_passwords(tracking_uri()), "the model registry does not answer", "start it, or mend MLFLOW_TRACKING_URI, then run again")
    registry = Registry(params.register_model.name)
    promotion = Promotion(registry, params.register_model.notify)
    gate_result, in_time = promotion.register_and_judge(exported, run.id, _tags(facts, params), params, data)
    decided = content(gate_result) | ({} if in_time else {"decision": "reject", "reasons": [SUPERSEDED]})
    scores = {name: {key: number(value) for key, value in values.items()} for name, values in facts["scores"].items()}
    write_json(output / "decision.json", {**decided, **facts, "scores": scores})
    run.metrics({f"export_{name}": value for name, value in agreed._asdict().items()} | _metrics(gate_result))
    run.tag("kdflow.registered", f"{registry.name}/{gate_result.version}")
    print(f"{registry.name} version {gate_result.version}: {decided['decision']} ({'; '.join(decided['reasons'])})")


def _facts(params: Params, data: Path, student: Path, teacher: Path, evaluation: Path) -> dict[str, Any]:
    """What the model is made of and how `evaluate` scored it: content, so equal for equal inputs."""
    metrics = read_json(evaluation / "metrics.json")
    scores = {name: {key: metrics[name][key] for key in ("map", "map50")} for name in SCORED if name in metrics}
    return {
        "model": params.register_model.name,
        "student_digest": digest(student / MODEL),
        "teacher_digest": digest(teacher / MODEL),
        "data_digest": read_json(data / "summary.json")["digest"],
        "scores": scores,
    }


def _metrics(gate_result: GateResult) -> dict[str, float]:
    """What the gate measured, for MLflow; the only place of times."""
    ours, against = gate_result.facts.challenger, gate_result.facts.comparison
    values = {"gate.map": ours.map, "gate.map50": ours.map50}
    if against:
        values |= {f"gate.{name}_{key}": value for name, interval in against.gain.items() for key, value in interval._asdict().items()}
        values["gate.latency_ratio"] = against.latency_ratio
    return values


def _export(params: Params, data: Path, student: Path, exported: Path) -> Parity:
    """Export the student and compare: how well the two agree."""
    section = params.register_model
    network, spec = load_model(student)
    nms = NMSConfig(section.confidence, params.evaluate.nms_iou, params.evaluate.max_detections)
    export_onnx(network, spec, exported, nms, section.opset)
    agreed = compare_export(network, spec, exported, DetectionData(data / "test", spec.image_size), nms, section.compare_pictures)
    if max(agreed.box_difference, agreed.score_difference) > section.tolerance:
        differences = f"boxes by {agreed.box_difference:g}, scores by {agreed.score_difference:g}; at most {section.tolerance:g} is allowed"
        problem = f"the ONNX export differs from PyTorch ({differences}), so nothing is registered"
        raise InputError("register_model.tolerance", problem, "try another register_model.opset")
    return agreed


def _rounded(agreed: Parity, tolerance: float) -> dict[str, float]:
    """The comparison, without what depends on the number of processor cores: the order of additions, some 1e-6."""
    return {**{name: round(value, 4) for name, value in agreed._asdict().items()}, "tolerance": tolerance}


def _tags(facts: dict[str, Any], params: Params) -> dict[str, str]:
    """The lineage of a version: what it was made of and by what."""
    digests = {f"kdflow.{name}": facts[name] for name in ("student_digest", "teacher_digest", "data_digest")}
    scores = {f"kdflow.{key}": f"{value:.6g}" for key, value in facts["scores"]["student"].items()}
    difference = max(facts["export"]["box_difference"], facts["export"]["score_difference"])
    made_by = digest_json(params.model_dump(mode="json", exclude={"compose_scenes"}))
    made = {"kdflow.params_digest": made_by, "kdflow.execution": current_execution().identity, **git_tags()}
    return {**digests, **scores, **made, EXPORT_DIFFERENCE: f"{difference:g}"}
