"""The step `evaluate`: score the models on the test pictures and write the report."""

from pathlib import Path
from typing import Any

import torch

from components.evaluate.latency import latencies
from components.evaluate.report import write_report
from components.evaluate.report.tables import write_tables
from components.evaluate.scoring import MODEL, TrainedModel, detect_share, gigaflops, load_split, load_trained, score_detections
from components.params.models import Params
from components.runtime.tracking import Run
from kd.data.dataset import DetectionData
from kd.detection.evaluate import NMSConfig
from kd.detection.scores import Scores
from kd.files import read_json, write_json
from kd.model.build import count_parameters
from kd.model.distributed import init_distributed

DIGITS = 6


def evaluate(
    params: Params,
    run: Run,
    data: Path = Path("outputs/prepare_data"),
    teacher: Path = Path("outputs/train_teacher"),
    baseline: Path | None = Path("outputs/train_baseline"),
    student: Path = Path("outputs/distill_student"),
    maps: Path = Path("outputs/compute_info_maps"),
    output: Path = Path("outputs/evaluate"),
) -> None:
    """Score teacher, baseline and distilled student on the same test pictures, and write a report.

    Writes metrics.json, the data of DVC's plots (four CSV files), and report.html, a single self-contained file. Latencies
    differ from run to run, so they are recorded in MLflow only. Several processes share the pictures, and the main process does the rest.

    Args:
        params: reads the section `evaluate`; the report shows the parameters that the models were trained with.
        run: records the scores and keeps the report.
        data: output of prepare_data.
        teacher: output of train_teacher.
        baseline: output of train_baseline; None if it was left out, and then no gain is computed.
        student: output of distill_student.
        maps: output of compute_info_maps.
        output: folder to write to.

    Raises:
        InputError: if an input is missing, or a model has other classes than the data.
    """
    section = params.evaluate
    nms = NMSConfig(section.confidence, section.nms_iou, section.max_detections)
    folders = {"teacher": teacher, "baseline": baseline, "student": student}
    with init_distributed() as processes:
        with processes.together():
            summary = read_json(data / "summary.json")
            trained = {name: load_trained(folder, summary) for name, folder in folders.items() if folder}
            train, test = DetectionData(data / "train", summary["image_size"]), load_split(data / "test", summary["image_size"])
            shares = {name: detect_share(name, model, test, nms, processes, section.workers) for name, model in trained.items()}
        found = {name: processes.gather(share) for name, share in shares.items()}
    if not processes.is_main:
        return
    evaluated = {name: score_detections(model, found[name], test, nms) for name, model in trained.items()}
    metrics: dict[str, Any] = {name: _metrics(model, evaluated[name].scores) for name, model in trained.items()}
    if baseline:
        metrics["gain"] = gain(metrics)
    write_json(output / "metrics.json", metrics)
    write_tables(output, evaluated)
    write_report(output / "report.html", evaluated, metrics, summary, params, (train, test), maps, trained["student"].init)
    run.log_dataset("prepared", str(data), summary["digest"], "test")
    if processes.world_size > 1:  # the threads of the others are free now
        torch.set_num_threads(torch.get_num_threads() * processes.world_size)
    times = latencies({name: (model.network, model.spec) for name, model in trained.items()}, test)
    scores = {f"{name}.{key}": value for name, values in metrics.items() for key, value in values.items()}
    run.log_metrics(scores | {f"{name}.latency_ms": value for name, value in times.items()})
    run.log_artifact(output / "report.html")


def gain(metrics: dict[str, Any]) -> dict[str, float]:
    """The gain of the student over the baseline: "map", "map50" and, if the teacher is better than the baseline, "gap_closed".

    "gap_closed" is the gain in mAP50 as a share of the distance from baseline to teacher: 1 if the student equals the teacher,
    negative if it is worse than the baseline.
    """
    added = {key: round(metrics["student"][key] - metrics["baseline"][key], DIGITS) for key in ("map", "map50")}
    gap = metrics["teacher"]["map50"] - metrics["baseline"]["map50"]
    return added | ({"gap_closed": round(added["map50"] / gap, DIGITS)} if gap > 0 else {})


def _metrics(model: TrainedModel, scores: Scores) -> dict[str, float]:
    """The entry of a model in metrics.json: scores in 0..1, and its size. Scores per class are in per_class.csv."""
    return {
        "map": round(scores.map, DIGITS),
        "map50": round(scores.map50, DIGITS),
        "parameters": count_parameters(model.network),
        "gigaflops": round(gigaflops(model.spec), DIGITS),
        "megabytes": round((model.folder / MODEL).stat().st_size / 1e6, DIGITS),
    }
