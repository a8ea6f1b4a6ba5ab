"""The pictures of docs/results.md: learning curves, information maps over photographs, and where the student got better and worse.

Models of several seeds give a band in the curves; maps and cases are those of the first.
"""

import argparse
import base64
import io
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from components.evaluate.report.examples import choose_examples
from components.evaluate.report.figures import COLORS
from components.evaluate.report.map_overlays import map_overlays
from components.evaluate.report.models import TITLES, History, read_history
from components.evaluate.report.pictures import EmbeddedPicture
from components.evaluate.scoring import evaluate_model, load_trained
from components.params.load import load_params
from kd.data.dataset import DetectionData
from kd.detection.evaluate import NMSConfig
from kd.errors import InputError, clean_exit
from kd.files import atomic_file, read_json

EXAMPLES = """
examples:
  # of `dvc repro`
  python -m benchmarks.pictures

  # of an ablation
  cd outputs/ablation && python -m benchmarks.pictures --params ../../params.yaml --data prepared --teacher teacher \\
    --baseline runs/baseline/seed-* --student runs/default/seed-* --maps maps/activation-* --output ../../docs/pictures
"""
STYLE: dict[Any, Any] = {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
DPI = 150
Row = tuple[str, list[EmbeddedPicture]]


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.pictures") -> None:
    """Write learning_curves.png, maps.jpg and cases.jpg."""
    options = _parser(prog).parse_args(arguments)
    section, summary = load_params(options.params).evaluate, read_json(options.data / "summary.json")
    folders = {"teacher": [options.teacher], "baseline": options.baseline, "student": options.student}
    histories = {name: [read_history(folder / "history.csv") for folder in those] for name, those in folders.items()}
    train, scored = (DetectionData(options.data / split, summary["image_size"]) for split in ("train", options.split))
    nms = NMSConfig(section.confidence, section.nms_iou, section.max_detections)
    models = {name: evaluate_model(name, load_trained(those[0], summary), scored, nms) for name, those in folders.items()}
    cases = choose_examples(scored, models, options.cases)
    found = [(f"{case.name}\nF1 {case.f1[0]:.2f} → {case.f1[1]:.2f}", case.pictures) for case in cases.examples]
    overlays = map_overlays(train, options.maps)
    drawn = {
        "learning_curves.png": curves(histories),
        "maps.jpg": sheet([("", row) for row in overlays.rows]),
        "cases.jpg": sheet(found),
    }
    for name, figure in drawn.items():
        save(figure, options.output / name)
    print(f"{options.split} pictures on which the distilled student is better: {cases.better}, worse: {cases.worse}, equal: {cases.equal}")
    print(f"Written to {options.output}: {', '.join(drawn)} (maps: {overlays.method})")


def curves(histories: Mapping[str, Sequence[History]]) -> Figure:
    """mAP50 on the val split over the epochs, in points: the mean of the trainings, and a band from minimum to maximum.

    Raises:
        InputError: if no training was scored on a val split.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        for name, trainings in histories.items():
            epochs, scores = scores_by_epoch(trainings)
            axes.plot(epochs, scores.mean(axis=1), "o-", ms=3, color=COLORS[name], label=TITLES[name])
            axes.fill_between(epochs, scores.min(axis=1), scores.max(axis=1), color=COLORS[name], alpha=0.2, linewidth=0)
        axes.set(xlabel="epoch", ylabel="mAP50")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(alpha=0.2)
        axes.legend()
    return figure


def scores_by_epoch(trainings: Sequence[History]) -> tuple[list[float], np.ndarray]:
    """The epochs that all trainings scored, and their mAP50 in points, [epochs, trainings]."""
    rows = sorted((row["epoch"], 100 * row["val_map50"]) for history in trainings for row in history if "val_map50" in row)
    by_epoch = {epoch: [score for _, score in group] for epoch, group in groupby(rows, key=lambda row: row[0])}
    whole = {epoch: scores for epoch, scores in by_epoch.items() if len(scores) == len(trainings)}
    if not whole:
        raise InputError("history.csv", "holds no scores of the val split", "raise data.val and train again")
    return list(whole), np.array(list(whole.values()))


def sheet(rows: Sequence[Row]) -> Figure:
    """Rows of equally many pictures with their captions; the title of a row is at its left."""
    count = len(rows[0][1]) if rows else 1
    figure = Figure(figsize=(2.4 * count, 2.5 * max(len(rows), 1)), layout="constrained")
    for line, (title, pictures) in zip(figure.subplots(max(len(rows), 1), count, squeeze=False), rows, strict=False):
        line[0].set_ylabel(title, fontsize=7)
        for axes, shown in zip(line, pictures, strict=True):
            axes.imshow(picture_of(shown))
            axes.set_title(shown.caption, fontsize=9)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    return figure


def picture_of(shown: EmbeddedPicture) -> Image.Image:
    """The picture inside the data URI."""
    return Image.open(io.BytesIO(base64.b64decode(shown.source.partition(",")[2])))


def save(figure: Figure, path: Path) -> None:
    """Write a PNG or JPEG."""
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=DPI)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    outputs = Path("outputs")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument("--data", type=Path, default=outputs / "prepare_data", metavar="FOLDER", help="what prepare_data wrote")
    parser.add_argument("--teacher", type=Path, default=outputs / "train_teacher", metavar="FOLDER", help="a trained teacher")
    for name, step, meaning in (("baseline", "train_baseline", "baselines"), ("student", "distill_student", "distilled students")):
        parser.add_argument(f"--{name}", type=Path, nargs="+", default=[outputs / step], metavar="FOLDER", help=f"{meaning}, one a seed")
    parser.add_argument("--maps", type=Path, default=outputs / "compute_info_maps", metavar="FOLDER", help="what compute_info_maps wrote")
    parser.add_argument("--split", choices=("val", "test"), default="test", help="pictures of the cases (default: test)")
    parser.add_argument("--cases", type=int, default=6, metavar="N", help="pictures shown, from most gained to most lost (default: 6)")
    parser.add_argument("--output", type=Path, default=Path("docs/pictures"), metavar="FOLDER", help="default: docs/pictures")
    return parser


if __name__ == "__main__":
    main()
