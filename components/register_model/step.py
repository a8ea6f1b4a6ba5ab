"""The step `register_model`: export the student, check the export, register it by its content, and run the gate."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.params.models import Params
from components.register_model.export import export_onnx
from components.register_model.gate.run_gate import EXPORT_DIFFERENCE_TAG, GateResult, finite_or_none
from components.register_model.parity import Parity, compare_export
from components.register_model.promotion import SUPERSEDED, Promotion
from components.register_model.reference import write_reference
from components.register_model.registry import REFERENCE_FILE, Registry
from components.register_model.sbom import write_sbom
from components.register_model.teacher import register_teacher
from components.runtime.execution import current_execution, git_tags
from components.runtime.store import tracking_uri
from components.runtime.text import mask_passwords
from components.runtime.tracking import Run
from kd.data.dataset import DetectionData
from kd.detection.evaluate import NMSConfig
from kd.errors import InputError, printable
from kd.files import digest, digest_json, read_json, write_json
from kd.model.store import load_init_metadata, load_model, load_spec

MODEL = "model.safetensors"
INITIAL = ("init", "init_digest", "init_license", "init_classes", "init_origin")
"""What is recorded about initial weights."""
EVALUATED_MODELS = ("teacher", "baseline", "student")


def register_model(
    params: Params,
    run: Run,
    data: Path = Path("outputs/prepare_data"),
    student: Path = Path("outputs/distill_student"),
    teacher: Path = Path("outputs/train_teacher"),
    evaluation: Path = Path("outputs/evaluate"),
    output: Path = Path("outputs/register_model"),
) -> None:
    """Export the student to ONNX, compare the export with PyTorch, register it as the challenger, and run the gate.

    Challenger and champion are loaded from the registry and scored on the same test pictures. If every rule of
    `register_model.gate` is passed, the challenger becomes the champion, or waits for an approval ("pending"); if not, the step
    succeeds with the decision "reject".
    The same content is registered only once, and running the step again gives the same decision.

    Args:
        params: reads the sections `register_model` and `evaluate`; the tag kdflow.params_digest covers all sections.
        run: stores the files of the model.
        data: output of prepare_data.
        student: output of distill_student.
        teacher: output of train_teacher.
        evaluation: output of evaluate.
        output: folder to write student.onnx and decision.json to.

    Raises:
        InputError: if the export differs from PyTorch or the champion cannot be loaded (nothing is registered then), or the
            registry fails.
    """
    lineage = _lineage(params, data, student, teacher, evaluation)
    exported = output / "student.onnx"
    parity = _export(params, data, student / MODEL, exported)
    lineage |= {"content": digest(exported), "export": _rounded(parity, params.register_model.tolerance)}
    if run.id is None:
        problem = f"MLflow has no run of this step ({run.last_error or 'it does not answer'})"
        raise InputError(mask_passwords(tracking_uri()), problem, "repair it or correct MLFLOW_TRACKING_URI, then run again")
    registry = Registry(params.register_model.name, public_key=params.register_model.public_key)
    promotion = Promotion(registry, params.register_model.notify)
    with TemporaryDirectory() as folder:
        reference = Path(folder) / REFERENCE_FILE  # not an output of the step: its counts depend on rounding errors
        write_reference(exported, DetectionData(data / "test", load_spec(student / MODEL).image_size), deployed_settings(params), reference)
        files = {MODEL: student / MODEL, REFERENCE_FILE: reference, **write_sbom(exported, Path(folder))}
        gate_result, not_superseded = promotion.register_challenger(exported, run.id, _tags(lineage, params), params, data, files)
    decision = gate_result.to_json() | ({} if not_superseded else {"decision": "reject", "reasons": [SUPERSEDED]})
    scores = {name: {key: finite_or_none(value) for key, value in values.items()} for name, values in lineage["scores"].items()}
    write_json(output / "decision.json", {**decision, **lineage, "scores": scores})
    run.log_metrics({f"export_{name}": value for name, value in parity._asdict().items()} | _metrics(gate_result))
    run.set_tag("kdflow.registered", f"{registry.name}/{gate_result.version}")
    if params.register_model.teacher:
        print(printable(register_teacher(params, run.id, data, teacher / MODEL, _teacher_tags(lineage, params))))
    print(printable(f"{registry.name} version {gate_result.version}: {decision['decision']} ({'; '.join(decision['reasons'])})"))


def _lineage(params: Params, data: Path, student: Path, teacher: Path, evaluation: Path) -> dict[str, Any]:
    """The digests of the model's inputs, and the scores in `evaluate`; equal for equal inputs."""
    metrics = read_json(evaluation / "metrics.json")
    scores = {name: {key: metrics[name][key] for key in ("map", "map50")} for name in EVALUATED_MODELS if name in metrics}
    return {
        "model": params.register_model.name,
        "student_digest": digest(student / MODEL),
        "teacher_digest": digest(teacher / MODEL),
        "data_digest": read_json(data / "summary.json")["digest"],
        "scores": scores,
        **{f"teacher_{name}": value for name, value in load_init_metadata(teacher / MODEL).items()},
        **{f"student_{name}": value for name, value in load_init_metadata(student / MODEL).items()},
    }


def _metrics(gate_result: GateResult) -> dict[str, float]:
    """The gate's measurements for MLflow. Only these contain times."""
    ours, comparison = gate_result.inputs.challenger, gate_result.inputs.comparison
    values = {"gate.map": ours.map, "gate.map50": ours.map50}
    if comparison:
        values |= {f"gate.{name}_{key}": value for name, interval in comparison.gain.items() for key, value in interval._asdict().items()}
        values["gate.latency_ratio"] = comparison.latency_ratio
    return values


def _export(params: Params, data: Path, student: Path, exported: Path) -> Parity:
    """Export the student and compare the export with it."""
    section, nms = params.register_model, deployed_settings(params)
    network, spec = load_model(student)
    export_onnx(network, spec, exported, nms, section.opset)
    parity = compare_export(network, spec, exported, DetectionData(data / "test", spec.image_size), nms, section.compare_pictures)
    if max(parity.box_difference, parity.score_difference) > section.tolerance:
        differences = f"boxes by {parity.box_difference:g}, scores by {parity.score_difference:g}; at most {section.tolerance:g} is allowed"
        problem = f"the ONNX export differs from PyTorch ({differences}), so nothing is registered"
        raise InputError("register_model.tolerance", problem, "try another register_model.opset")
    return parity


def deployed_settings(params: Params) -> NMSConfig:
    """The settings of the registered model."""
    return NMSConfig(params.register_model.confidence, params.evaluate.nms_iou, params.evaluate.max_detections)


def _rounded(parity: Parity, tolerance: float) -> dict[str, float]:
    """The parity without rounding errors of some 1e-6, which depend on the number of CPU cores."""
    return {**{name: round(value, 4) for name, value in parity._asdict().items()}, "tolerance": tolerance}


def _tags(lineage: dict[str, Any], params: Params) -> dict[str, str]:
    """The tags for the lineage of a version."""
    names = [f"{role}_{name}" for role in ("teacher", "student") for name in ("digest", *INITIAL)]
    digests = {f"kdflow.{name}": lineage[name] for name in ("data_digest", *names) if name in lineage}
    scores = {f"kdflow.{key}": f"{value:.6g}" for key, value in lineage["scores"]["student"].items()}
    difference = max(lineage["export"]["box_difference"], lineage["export"]["score_difference"])
    export = {EXPORT_DIFFERENCE_TAG: f"{difference:g}"} if lineage["export"]["detections"] else {}  # nothing was compared
    return {**digests, **scores, **_run_tags(params), **export}


def _teacher_tags(lineage: dict[str, Any], params: Params) -> dict[str, str]:
    names = ["data_digest", "teacher_digest", *(f"teacher_{name}" for name in INITIAL)]
    scores = {f"kdflow.{key}": f"{value:.6g}" for key, value in lineage["scores"]["teacher"].items()}
    return {**{f"kdflow.{name}": lineage[name] for name in names if name in lineage}, **scores, **_run_tags(params)}


def _run_tags(params: Params) -> dict[str, str]:
    params_digest = digest_json(params.model_dump(mode="json", exclude={"compose_scenes"}))
    return {"kdflow.params_digest": params_digest, "kdflow.execution": current_execution().id, **git_tags()}
