"""What a version says of itself in MLflow: tags to search by, and a description to read."""

import json
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from components.register_model.gate.rules import points
from components.register_model.gate.run_gate import GateResult, content
from components.register_model.registry import Version
from kd.data.draw import draw
from kd.data.pictures import read_picture
from kd.detection.evaluate import NMSConfig

LINEAGE = {
    "kdflow.git_commit": "git commit",
    "kdflow.data_digest": "data",
    "kdflow.params_digest": "parameters",
    "kdflow.teacher_digest": "teacher",
    "kdflow.student_digest": "student",
    "kdflow.content": "ONNX file",
    "kdflow.execution": "execution",
}
"""The tags that say what a version was made of; they go with a copy."""
PLACE, PICTURE = "gate", "found.jpg"
SHOWN, HEIGHT, GAP = 3, 240, 6
SURE = NMSConfig(confidence=0.25).confidence


def tags(gate_result: GateResult) -> dict[str, str]:
    """The gate's tags of a version."""
    facts = content(gate_result)
    against = gate_result.facts.comparison
    scores = {name: {key: facts[name][key] for key in ("map", "map50")} for name in ("challenger", "champion") if facts[name]}
    return {
        "kdflow.gate": gate_result.decision,
        "kdflow.gate_reasons": "\n".join(gate_result.reasons),
        "kdflow.gate_rules": json.dumps(facts["rules"], sort_keys=True),
        "kdflow.gate_scores": json.dumps(scores, sort_keys=True),
        "kdflow.gate_gain": json.dumps(facts["gain"], sort_keys=True),
        "kdflow.gate_data_digest": gate_result.data_digest,
        "kdflow.previous_champion": gate_result.reference_version,
        **({"kdflow.latency_ratio": f"{against.latency_ratio:.3f}"} if against else {}),
    }


def description(gate_result: GateResult, version: Version) -> str:
    """Markdown: the decision, the scores, the rules, what the model was made of, and a picture where MLflow's page finds it."""
    lines = [f"**{gate_result.decision}**: {'; '.join(gate_result.reasons)}", "", *_scores(gate_result), "", "| rule | | |", "|---|---|---|"]
    lines += [f"| {rule_result.rule} | {'kept' if rule_result.passed else '**broken**'} | {rule_result.reason} |" for rule_result in gate_result.rule_results]
    lines += ["", *(f"- {name}: `{version.tags[tag]}`" for tag, name in LINEAGE.items() if tag in version.tags)]
    lines += ["", f"![what it finds in test pictures](get-artifact?path={PLACE}%2F{PICTURE}&run_uuid={version.run_id})"]
    return "\n".join(lines)


def _scores(gate_result: GateResult) -> Iterator[str]:
    ours, against = gate_result.facts.challenger, gate_result.facts.comparison
    if not against:
        yield from ("| test pictures | this version |", "|---|---|")
        yield from (f"| {label} | {points(value)} |" for label, value in (("mAP", ours.map), ("mAP50", ours.map50)))
        return
    yield from (f"| test pictures | this version | version {gate_result.reference_version} | change | between |", "|---|---|---|---|---|")
    for label, name in (("mAP", "map"), ("mAP50", "map50")):
        change = against.gain[name]
        both = f"{points(getattr(ours, name))} | {points(getattr(against.champion, name))}"
        yield f"| {label} | {both} | {100 * change.difference:+.1f} | {100 * change.low:+.1f} and {100 * change.high:+.1f} |"


def picture(gate_result: GateResult, file: Path) -> None:
    """Write a JPEG of the first test pictures with objects, side by side, with what the version finds in them."""
    data = gate_result.split
    busy = [index for index in range(len(data)) if len(data.objects(index)[1])] or list(range(len(data)))
    drawn = [_drawn(gate_result, index) for index in busy[:SHOWN]]
    sheet = Image.new("RGB", (sum(image.width + GAP for image in drawn) - GAP, HEIGHT), "white")
    left = 0
    for image in drawn:
        sheet.paste(image, (left, 0))
        left += image.width + GAP
    sheet.save(file, "JPEG", quality=88)


def _drawn(gate_result: GateResult, index: int) -> Image.Image:
    picture = read_picture(gate_result.split.file(index))
    scale = HEIGHT / picture.height
    found = gate_result.result.found[index]
    sure = found.scores >= SURE
    shown = type(found)(found.boxes[sure] * scale, found.scores[sure], found.labels[sure])
    return draw(picture.resize((max(1, round(picture.width * scale)), HEIGHT), Image.Resampling.LANCZOS), shown, gate_result.split.classes)
