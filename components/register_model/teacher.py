"""Register the teacher, too, so that the next training can start from it; the better one on the val split is the champion."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from components.evaluate.points import format_points
from components.params.models import Params
from components.register_model.export import export_onnx
from components.register_model.journal import Journal
from components.register_model.journal_entries import find_rollback
from components.register_model.registered_files import read_safetensors
from components.register_model.registry import MODEL, Registry
from components.register_model.sbom import write_sbom
from components.register_model.version_card import GATE_TAG, REASONS_TAG, escape_markdown
from kd.data.dataset import DetectionData
from kd.detection.evaluate import NMSConfig, detect
from kd.detection.scores import coco_scores, to_coco_results
from kd.model.store import load_model, load_spec


def register_teacher(params: Params, run_id: str, data: Path, model: Path, tags: Mapping[str, str]) -> str:
    """Register a teacher under the name `register_model.teacher`, and make it the champion if it is not worse than the present one.

    Both are scored on the val split. A champion with other classes cannot be compared, and is replaced.

    Args:
        params: reads the sections `register_model` and `evaluate`.
        run_id: the run that stores the files.
        data: prepared data; without val pictures, the new teacher becomes the champion.
        model: its model.safetensors.
        tags: its lineage.

    Returns:
        Its version and what was decided, in words.

    Raises:
        InputError: if the registry fails, or the files of the champion changed.
    """
    section, (network, spec) = params.register_model, load_model(model)
    registry = Registry(section.teacher, public_key=section.public_key)
    journal = Journal(registry)
    with TemporaryDirectory() as folder:
        exported = Path(folder) / "teacher.onnx"
        nms = NMSConfig(section.confidence, params.evaluate.nms_iou, params.evaluate.max_detections)
        export_onnx(network, spec, exported, nms, section.opset)
        files = {MODEL: model, **write_sbom(exported, Path(folder))}
        number = registry.register(exported, run_id, tags, files, "teacher")
    state = journal.sync_aliases()
    if state.challenger != number:
        journal.append("register", state.champion, number, "registered")
    name = f"{registry.name} version {number}"
    if state.champion == number:
        return f"{name}: is the champion"
    passed, why = _compare(registry, state.champion, model, data)
    if rollback := find_rollback(journal.entries(), number):
        passed, why = False, f"{rollback.who} rolled it back ({rollback.why})"
    decision = "promote" if passed else "reject"
    registry.set_tags(number, {GATE_TAG: decision, REASONS_TAG: why}, escape_markdown(why))
    if passed and not journal.append("promote", state.champion, number, why):
        decision = "reject: the champion changed in the meantime"
    return f"{name}: {decision} ({why})"


def _compare(registry: Registry, champion: str, model: Path, data: Path) -> tuple[bool, str]:
    """Whether the teacher `model` replaces the version `champion`, and why."""
    if not champion:
        return True, "there is no champion yet"
    with TemporaryDirectory() as folder:
        file = Path(folder) / MODEL
        file.write_bytes(read_safetensors(registry, registry.version(champion)))
        if set(load_spec(file).classes) != set(load_spec(model).classes):
            return True, f"version {champion} has other classes"
        if not len(DetectionData(data / "val", load_spec(model).image_size)):
            return True, "there are no val pictures to compare on"
        ours, theirs = _score(model, data), _score(file, data)
    return ours >= theirs, f"mAP on the val split: {format_points(ours)}, and {format_points(theirs)} of version {champion}"


def _score(model: Path, data: Path) -> float:
    """mAP on the val split, 0..1, of a model whose classes may be in another order than those of the data."""
    network, spec = load_model(model)
    val = DetectionData(data / "val", spec.image_size)
    labels = torch.tensor([val.classes.index(name) for name in spec.classes])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    detections = detect(network.to(device), spec.anchors, val, nms := NMSConfig())
    found = ((image_id, one._replace(labels=labels[one.labels])) for image_id, one in zip(val.ids, detections, strict=True))
    return coco_scores(val.ground_truth, [row for pair in found for row in to_coco_results(*pair)], nms.max_detections).map
