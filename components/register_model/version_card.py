"""The tags, description and picture of a version in MLflow."""

import json
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from components.evaluate.points import format_points, format_signed_points
from components.register_model.gate.run_gate import GateResult
from components.register_model.registry import Version
from kd.data.draw import draw
from kd.detection.decode import Detections
from kd.errors import printable

LINEAGE_TAGS = {
    "kdflow.git_commit": "git commit",
    "kdflow.data_digest": "data",
    "kdflow.params_digest": "parameters",
    "kdflow.teacher_digest": "teacher",
    "kdflow.teacher_init": "teacher's initial weights",
    "kdflow.teacher_init_digest": "SHA-256 of the teacher's initial weights",
    "kdflow.teacher_init_license": "license of the teacher's initial weights",
    "kdflow.teacher_init_classes": "renamed classes of the teacher's initial weights",
    "kdflow.teacher_init_origin": "origin of the teacher's initial weights",
    "kdflow.student_digest": "student",
    "kdflow.student_init": "student's initial weights",
    "kdflow.student_init_digest": "SHA-256 of the student's initial weights",
    "kdflow.student_init_license": "license of the student's initial weights",
    "kdflow.student_init_classes": "renamed classes of the student's initial weights",
    "kdflow.student_init_origin": "origin of the student's initial weights",
    "kdflow.content": "ONNX file",
    "kdflow.execution": "execution",
}
"""The tags for the lineage of a version, with their names in tables; a copy of the version keeps them."""
GATE_TAG, PREVIOUS_TAG, REASONS_TAG = "kdflow.gate", "kdflow.previous_champion", "kdflow.gate_reasons"
ARTIFACT_PATH, PICTURE_FILE = "gate", "found.jpg"
MAX_PICTURES, HEIGHT, GAP = 3, 240, 6
MIN_SCORE = 0.25
SPECIAL = frozenset("\\`*_{}[]<>|~#!&\"'")


def gate_tags(result: GateResult) -> dict[str, str]:
    """The tags that the gate sets on a version."""
    content = result.to_json()
    comparison = result.inputs.comparison
    scores = {name: {key: content[name][key] for key in ("map", "map50")} for name in ("challenger", "champion") if content[name]}
    return {
        GATE_TAG: result.decision,
        REASONS_TAG: "\n".join(result.reasons),
        "kdflow.gate_rules": json.dumps(content["rules"], sort_keys=True),
        "kdflow.gate_scores": json.dumps(scores, sort_keys=True),
        "kdflow.gate_gain": json.dumps(content["gain"], sort_keys=True),
        "kdflow.gate_data_digest": result.data_digest,
        PREVIOUS_TAG: result.reference_version,
        **({"kdflow.latency_ratio": f"{comparison.latency_ratio:.3f}"} if comparison else {}),
    }


def description(result: GateResult, version: Version) -> str:
    """The description in Markdown: the decision, the scores, the rules, the lineage, and the picture as a link to an artifact."""
    lines = [f"**{result.decision}**: {escape_markdown('; '.join(result.reasons))}", "", *_scores_table(result), ""]
    results = ((rule, "passed" if passed else "**failed**", escape_markdown(reason)) for rule, passed, reason in result.rule_results)
    lines += ["| rule | | |", "|---|---|---|", *(f"| {' | '.join(cells)} |" for cells in results)]
    lines += ["", *(f"- {name}: {escape_markdown(version.tags[tag])}" for tag, name in LINEAGE_TAGS.items() if tag in version.tags)]
    lines += ["", f"![detections in test pictures](get-artifact?path={ARTIFACT_PATH}%2F{PICTURE_FILE}&run_uuid={version.run_id})"]
    return "\n".join(lines)


def escape_markdown(text: str) -> str:
    """Text of users, such as class names, without Markdown and HTML: special characters as entities, which look the same."""
    return "".join(f"&#{ord(c)};" if c in SPECIAL else c for c in printable(text))


def _scores_table(result: GateResult) -> Iterator[str]:
    ours, comparison = result.inputs.challenger, result.inputs.comparison
    if not comparison:
        yield from ("| test pictures | this version |", "|---|---|")
        yield from (f"| {label} | {format_points(value)} |" for label, value in (("mAP", ours.map), ("mAP50", ours.map50)))
        return
    yield from (f"| test pictures | this version | version {result.reference_version} | change | between |", "|---|---|---|---|---|")
    for label, name in (("mAP", "map"), ("mAP50", "map50")):
        change = comparison.gain[name]
        both = f"{format_points(getattr(ours, name))} | {format_points(getattr(comparison.champion, name))}"
        interval = f"{format_signed_points(change.low)} and {format_signed_points(change.high)}"
        yield f"| {label} | {both} | {format_signed_points(change.difference)} | {interval} |"


def save_picture(result: GateResult, file: Path) -> None:
    """Save a JPEG of the first test pictures with objects, side by side, with the version's detections."""
    data = result.test_pictures
    with_objects = [index for index in range(len(data)) if len(data.objects(index)[1])]
    pictures = [_draw_detections(result, index) for index in (with_objects or list(range(len(data))))[:MAX_PICTURES]]
    sheet = Image.new("RGB", (sum(picture.width + GAP for picture in pictures) - GAP, HEIGHT), "white")
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + GAP
    sheet.save(file, "JPEG", quality=88)


def _draw_detections(result: GateResult, index: int) -> Image.Image:
    picture = result.test_pictures.picture(index)
    scale = HEIGHT / picture.height
    found = result.detections[index]
    shown = found.scores >= MIN_SCORE
    detections = Detections(found.boxes[shown] * scale, found.scores[shown], found.labels[shown])
    resized = picture.resize((max(1, round(picture.width * scale)), HEIGHT), Image.Resampling.LANCZOS)
    return draw(resized, detections, result.test_pictures.classes)
