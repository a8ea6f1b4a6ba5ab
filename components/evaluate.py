"""The step `evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from components.latency import latencies
from components.params import Params
from components.report import write_report
from components.report.contestant import Contestant, read_history
from components.report.tables import write_tables
from components.step import command
from kd.data.dataset import DetectionData
from kd.detection.evaluate import Selection, detect
from kd.detection.scores import as_results, coco_scores
from kd.errors import InputError
from kd.files import read_json, write_json
from kd.model.build import Network, build_model, parameter_count
from kd.model.spec import ModelSpec
from kd.model.store import load_model
from kd.progress import track

if TYPE_CHECKING:
    from components.tracking import Run

MODEL = "model.safetensors"
DIGITS = 6


class Loaded(NamedTuple):
    """A trained model and the folder that it came from."""

    folder: Path
    network: Network
    spec: ModelSpec


def evaluate(
    params: Params,
    run: "Run",
    data: Path = Path("outputs/prepare_data"),
    teacher: Path = Path("outputs/train_teacher"),
    baseline: Path | None = Path("outputs/train_baseline"),
    student: Path = Path("outputs/distill_student"),
    maps: Path = Path("outputs/compute_info_maps"),
    output: Path = Path("outputs/evaluate"),
) -> None:
    """Score teacher, student alone and distilled student on the same test pictures, and report.

    Writes metrics.json, the data of DVC's plots (four CSV files), and report.html, one file that needs no other. Times differ
    from run to run, so they go to MLflow alone.

    Args:
        params: the section `evaluate` is used; the report shows what the models were made with.
        run: records the scores and keeps the report.
        data: folder of the step prepare_data.
        teacher: folder of the step train_teacher.
        baseline: folder of the step train_baseline; None where it was left out: then no gain is known.
        student: folder of the step distill_student.
        maps: folder of the step compute_info_maps.
        output: folder to write to.

    Raises:
        InputError: if something is missing, or the models are for other classes than the data.
    """
    section = params.evaluate
    summary = read_json(data / "summary.json")
    folders = {"teacher": teacher, "baseline": baseline, "student": student}
    models = {name: load_trained(folder, summary) for name, folder in folders.items() if folder}
    train, test = (DetectionData(data / split, summary["image_size"]) for split in ("train", "test"))
    if not len(test):
        raise InputError(data / "test", "has no pictures", "raise data.test, or add a test split")
    selection = Selection(section.confidence, section.nms_iou, section.max_detections)
    contestants = {name: contest(name, model, test, selection) for name, model in models.items()}
    metrics: dict[str, Any] = {name: _measures(model, contestants[name]) for name, model in models.items()}
    if baseline:
        metrics["gain"] = gain(metrics)
    write_json(output / "metrics.json", metrics)
    write_tables(output, contestants)
    write_report(output / "report.html", contestants, metrics, summary, params, (train, test), maps)
    run.dataset("prepared", str(data), summary["digest"], "test")
    run.metrics(_flat(metrics) | _milliseconds(models, test))
    run.artifact(output / "report.html")


def gain(metrics: dict[str, Any]) -> dict[str, float]:
    """What distillation adds to the student: "map", "map50" and, where the teacher is better than the student alone, "gap_closed".

    The last is the share of their distance in mAP50: 1 where the student equals the teacher, less than 0 where it lost.
    """
    added = {key: round(metrics["student"][key] - metrics["baseline"][key], DIGITS) for key in ("map", "map50")}
    gap = metrics["teacher"]["map50"] - metrics["baseline"]["map50"]
    return added | ({"gap_closed": round(added["map50"] / gap, DIGITS)} if gap > 0 else {})


def gigaflops(spec: ModelSpec) -> float:
    """Billions of floating point operations for one picture; a multiplication and an addition are two, as Darknet counts."""
    network = build_model(spec).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, spec.image_size, spec.image_size, device="meta"))
    return float(counter.get_total_flops()) / 1e9


def load_trained(folder: Path, summary: dict[str, Any]) -> Loaded:
    """The model that a training left in `folder`.

    Raises:
        InputError: if it does not fit the prepared data of `summary`.
    """
    network, spec = load_model(folder / MODEL)
    if list(spec.classes) != summary["classes"] or spec.image_size != summary["image_size"]:
        raise InputError(folder / MODEL, "is for other classes or another image size than the prepared data", "train it on these data")
    return Loaded(folder, network, spec)


def contest(name: str, model: Loaded, test: DetectionData, selection: Selection) -> Contestant:
    """Run a model over a split, and score what it finds."""
    history = read_history(model.folder / "history.csv")
    model.network.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    found = list(track(detect(model.network, model.spec.anchors, test, selection), f"score {name}", len(test)))
    model.network.cpu()
    results = [row for image_id, detections in zip(test.ids, found, strict=True) for row in as_results(image_id, detections)]
    return Contestant(coco_scores(test.truth, results, selection.most), found, history)


def _measures(model: Loaded, contestant: Contestant) -> dict[str, Any]:
    """What metrics.json holds of a model: scores in 0..1, and its size."""
    scores = contestant.scores
    return {
        "map": round(scores.map, DIGITS),
        "map50": round(scores.map50, DIGITS),
        "per_class": {label: {key: round(value, DIGITS) for key, value in values.items()} for label, values in scores.per_class.items()},
        "parameters": parameter_count(model.network),
        "gigaflops": round(gigaflops(model.spec), DIGITS),
        "megabytes": round((model.folder / MODEL).stat().st_size / 1e6, DIGITS),
    }


def _milliseconds(models: dict[str, Loaded], test: DetectionData) -> dict[str, float]:
    times = latencies({name: (model.network, model.spec) for name, model in models.items()}, test)
    return {f"{name}.latency_ms": value for name, value in times.items()}


def _flat(metrics: dict[str, Any]) -> dict[str, float]:
    """Numbers by dotted name; without the classes, whose names MLflow may refuse."""
    return {f"{name}.{key}": value for name, values in metrics.items() for key, value in values.items() if key != "per_class"}


if __name__ == "__main__":
    command(evaluate)
