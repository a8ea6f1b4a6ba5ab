"""What a version says of itself in MLflow: tags to search by, and a description to read."""

import json
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from components.gate.judgement import Judgement, content
from components.gate.rules import points
from components.registry.store import Version
from kd.data.pictures import read_picture
from kd.detection.evaluate import Selection
from kd.draw import draw

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
SURE = Selection(confidence=0.25).confidence


def tags(judged: Judgement) -> dict[str, str]:
    """The gate's tags of a version."""
    facts = content(judged)
    against = judged.facts.comparison
    scores = {name: {key: facts[name][key] for key in ("map", "map50")} for name in ("challenger", "champion") if facts[name]}
    return {
        "kdflow.gate": judged.decision,
        "kdflow.gate_reasons": "\n".join(judged.reasons),
        "kdflow.gate_rules": json.dumps(facts["rules"], sort_keys=True),
        "kdflow.gate_scores": json.dumps(scores, sort_keys=True),
        "kdflow.gate_gain": json.dumps(facts["gain"], sort_keys=True),
        "kdflow.gate_data_digest": judged.data_digest,
        "kdflow.previous_champion": judged.opponent,
        **({"kdflow.latency_ratio": f"{against.latency_ratio:.3f}"} if against else {}),
    }


def description(judged: Judgement, version: Version) -> str:
    """Markdown: the decision, the scores, the rules, what the model was made of, and a picture where MLflow's page finds it."""
    lines = [f"**{judged.decision}**: {'; '.join(judged.reasons)}", "", *_scores(judged), "", "| rule | | |", "|---|---|---|"]
    lines += [f"| {verdict.rule} | {'kept' if verdict.passed else '**broken**'} | {verdict.reason} |" for verdict in judged.verdicts]
    lines += ["", *(f"- {name}: `{version.tags[tag]}`" for tag, name in LINEAGE.items() if tag in version.tags)]
    lines += ["", f"![what it finds in test pictures](get-artifact?path={PLACE}%2F{PICTURE}&run_uuid={version.run_id})"]
    return "\n".join(lines)


def _scores(judged: Judgement) -> Iterator[str]:
    ours, against = judged.facts.challenger, judged.facts.comparison
    if not against:
        yield from ("| test pictures | this version |", "|---|---|")
        yield from (f"| {label} | {points(value)} |" for label, value in (("mAP", ours.map), ("mAP50", ours.map50)))
        return
    yield from (f"| test pictures | this version | version {judged.opponent} | change | between |", "|---|---|---|---|---|")
    for label, name in (("mAP", "map"), ("mAP50", "map50")):
        change = against.gain[name]
        both = f"{points(getattr(ours, name))} | {points(getattr(against.champion, name))}"
        yield f"| {label} | {both} | {100 * change.difference:+.1f} | {100 * change.low:+.1f} and {100 * change.high:+.1f} |"


def picture(judged: Judgement, file: Path) -> None:
    """Write a JPEG of the first test pictures with objects, side by side, with what the version finds in them."""
    data = judged.split
    busy = [index for index in range(len(data)) if len(data.objects(index)[1])] or list(range(len(data)))
    drawn = [_drawn(judged, index) for index in busy[:SHOWN]]
    sheet = Image.new("RGB", (sum(image.width + GAP for image in drawn) - GAP, HEIGHT), "white")
    left = 0
    for image in drawn:
        sheet.paste(image, (left, 0))
        left += image.width + GAP
    sheet.save(file, "JPEG", quality=88)


def _drawn(judged: Judgement, index: int) -> Image.Image:
    picture = read_picture(judged.split.file(index))
    scale = HEIGHT / picture.height
    found = judged.result.found[index]
    sure = found.scores >= SURE
    shown = type(found)(found.boxes[sure] * scale, found.scores[sure], found.labels[sure])
    return draw(picture.resize((max(1, round(picture.width * scale)), HEIGHT), Image.Resampling.LANCZOS), shown, judged.split.classes)
