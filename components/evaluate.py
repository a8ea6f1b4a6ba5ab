"""The step `evaluate`."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from components.latency import latencies
from components.params import Params
from components.report import Contestant, write_report
from components.step import command
from kd.data.dataset import DetectionData
from kd.detection.evaluate import Selection, detect
from kd.detection.scores import RECALLS, Scores, as_results, coco_scores
from kd.files import read_json, write_json
from kd.model.build import Network, parameter_count
from kd.model.store import load_model
from kd.progress import track

if TYPE_CHECKING:
    from components.tracking import Run

MODEL = "model.safetensors"
DIGITS = 6


def evaluate(
    params: Params,
    run: "Run",
    data: Path = Path("outputs/prepare_data"),
    teacher: Path = Path("outputs/train_teacher"),
    baseline: Path = Path("outputs/train_baseline"),
    student: Path = Path("outputs/distill_student"),
    maps: Path = Path("outputs/compute_info_maps"),
    output: Path = Path("outputs/evaluate"),
) -> None:
    """Score teacher, student alone and distilled student on the same test pictures, and report.

    Reads the section `evaluate`. Writes metrics.json (0 to 1; per model map, map50, per class, parameters, multiply-adds), the
    data of DVC's plots, and report.html, one file that needs no other. Times differ from run to run, so they go to MLflow alone.
    """
    section = params.evaluate
    selection = Selection(section.confidence, section.nms_iou, section.max_detections)
    test = DetectionData(data / "test", params.data.image_size)
    folders = {"teacher": teacher, "baseline": baseline, "student": student}
    contestants = {name: _contest(name, folder, test, selection) for name, folder in folders.items()}
    metrics = _metrics(contestants, folders)
    write_json(output / "metrics.json", metrics)
    _write_plots(output, {name: contestant.scores for name, contestant in contestants.items()})
    summary = read_json(data / "summary.json")
    write_report(output / "report.html", contestants, metrics, summary, params, test, data / "train", maps)
    run.dataset("prepared", str(data), summary["digest"], "test")
    run.metrics(_flat(metrics) | _milliseconds(folders))
    run.artifact(output / "report.html")


def _contest(name: str, folder: Path, test: DetectionData, selection: Selection) -> Contestant:
    network, spec = load_model(folder / MODEL)
    network.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    found = list(track(detect(network, spec.anchors, test, selection), f"score {name}", len(test)))
    results = [row for image_id, detections in zip(test.ids, found, strict=True) for row in as_results(image_id, detections)]
    history = list(csv.DictReader((folder / "history.csv").open()))
    return Contestant(network.cpu(), coco_scores(test.truth, results, selection.most), found, history)


def _metrics(contestants: dict[str, Contestant], folders: dict[str, Path]) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        name: {
            "map": round(contestant.scores.map, DIGITS),
            "map50": round(contestant.scores.map50, DIGITS),
            "per_class": {k: {ap: round(value, DIGITS) for ap, value in v.items()} for k, v in contestant.scores.per_class.items()},
            "parameters": parameter_count(contestant.network),
            "gigaflops": _gigaflops(contestant.network, load_model(folders[name] / MODEL)[1].image_size),
            "megabytes": round((folders[name] / MODEL).stat().st_size / 1e6, 3),
        }
        for name, contestant in contestants.items()
    }
    metrics["gain"] = {key: round(metrics["student"][key] - metrics["baseline"][key], DIGITS) for key in ("map", "map50")}
    gap = metrics["teacher"]["map50"] - metrics["baseline"]["map50"]
    if gap > 0:
        metrics["gain"]["gap_closed"] = round(metrics["gain"]["map50"] / gap, DIGITS)
    return metrics


def _gigaflops(network: Network, image_size: int) -> float:
    """Billions of multiplications and additions for one picture."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, image_size, image_size))
    return round(float(counter.get_total_flops()) / 1e9, DIGITS)


def _milliseconds(folders: dict[str, Path]) -> dict[str, float]:
    times = latencies({name: folder / MODEL for name, folder in folders.items()})
    return {f"{name}.milliseconds": value for name, value in times.items()}


def _write_plots(output: Path, scores: dict[str, Scores]) -> None:
    """Precision over recall, a column a model; AP of each class, a row for each class and model."""
    columns = [[f"{precision:.4f}" for precision in s.precision] or [""] * len(RECALLS) for s in scores.values()]
    curves = [list(row) for row in zip([f"{recall:.2f}" for recall in RECALLS], *columns, strict=True)]
    _write_table(output / "precision_recall.csv", ["recall", *scores], curves)
    rows = [[name, k, f"{values['ap50']:.4f}"] for name, s in scores.items() for k, values in s.per_class.items()]
    _write_table(output / "per_class.csv", ["model", "class", "ap50"], rows)


def _write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


if __name__ == "__main__":
    command(evaluate)
