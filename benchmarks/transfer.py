"""The gain of initial weights: a teacher of the second half of the classes starts from one of the first half, with half the epochs.

One teacher is trained on the pictures with the first half of the classes. Then, for every seed, a network of the same kind is trained on
the pictures with the other half: from random weights with all epochs of `teacher.train`, and from the teacher's weights with half of
them. Scores are those of the kept epoch on the val split. The same command resumes after it was stopped.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.jobs import finished
from benchmarks.labels import link_pictures
from benchmarks.trainings import HISTORY, TRAINING, Facts, once, prepared, train_timed
from components.distill_student.step import MODEL
from components.evaluate.report.models import read_history
from components.params.load import load_params
from components.params.models import Params
from components.prepare_data.anchors import kmeans_anchors
from kd.arguments import count
from kd.data.dataset import DetectionData
from kd.errors import InputError, clean_exit
from kd.files import digest, digest_json, read_json, write_json
from kd.train.early_stopping import kept_epoch

SPLITS = ("train", "val", "test")
EXAMPLES = """examples:
  %(prog)s --data data/voc6 --params examples/voc6.yaml --jobs 2"""


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.transfer") -> None:
    """Run the missing trainings, and print the table."""
    options = _parser(prog).parse_args(arguments)
    params = load_params(options.params, [f"data.path={options.data}", *options.set])
    data, out = prepared(options.data, params, options.out), options.out
    classes = read_json(data / "summary.json")["classes"]
    if len(classes) < 2 or not len(DetectionData(data / "val", params.data.image_size)):
        raise InputError(options.data, "has fewer than two classes, or no val split", "choose other data, or raise data.val")
    for name, half in (("first", classes[: len(classes) // 2]), ("second", classes[len(classes) // 2 :])):
        once(out / name, {"data": digest(data / "summary.json"), "classes": half}, partial(write_half, data, half))
    _train(out / "teacher", out / "first", params)
    halved = params.teacher.train.model_copy(update={"epochs": max(1, params.teacher.train.epochs // 2)})
    start = params.teacher.model_copy(update={"init": str(out / "teacher" / MODEL), "train": halved})
    settings = {"random": params, "transferred": params.model_copy(update={"teacher": start})}
    jobs = {
        (name, seed): partial(_train, out / name / f"seed-{seed}", out / "second", chosen.model_copy(update={"seed": seed}))
        for seed in options.seeds
        for name, chosen in settings.items()
    }
    for (name, seed), outcome in finished(jobs, options.jobs):
        outcome()
        print(f"{name}, seed {seed}: trained", file=sys.stderr, flush=True)
    results = {name: {seed: _score(out / name / f"seed-{seed}") for seed in options.seeds} for name in settings}
    write_json(out / "results.json", {"params": params.model_dump(mode="json"), "scores": results})
    print(_table({name: chosen.teacher.train.epochs for name, chosen in settings.items()}, results))


def write_half(data: Path, classes: Sequence[str], output: Path) -> None:
    """Write the pictures of prepared `data` that have objects of `classes`, with these objects only and anchors fitted to them."""
    summary = read_json(data / "summary.json")
    sizes, digests = [], []
    for split in SPLITS:
        content = read_json(data / split / "annotations.json")
        names = {category["id"]: category["name"] for category in content["categories"]}
        rows = [row for row in content["annotations"] if names[row["category_id"]] in classes]
        images = {image["id"]: image for image in content["images"] if image["id"] in {row["image_id"] for row in rows}}
        rows = [row | {"category_id": 1 + classes.index(names[row["category_id"]])} for row in rows]
        categories = [{"id": index, "name": name} for index, name in enumerate(classes, 1)]
        half = {"images": [*images.values()], "annotations": rows, "categories": categories}
        write_json(output / split / "annotations.json", half)
        link_pictures(data / split, output / split)
        digests.append(digest_json(half))
        if split == "train":
            scales = [summary["image_size"] / max(images[row["image_id"]][side] for side in ("width", "height")) for row in rows]
            sizes = [(row["bbox"][2] * scale, row["bbox"][3] * scale) for row, scale in zip(rows, scales, strict=True)]
    anchors = kmeans_anchors(np.array(sizes, dtype=np.float64))
    write_json(output / "summary.json", {**summary, "classes": classes, "anchors": anchors, "digest": digest_json(digests)})


def _train(folder: Path, data: Path, params: Params) -> None:
    initial = digest(Path(params.teacher.init)) if params.teacher.init else ""
    sections = params.model_dump(mode="json", include={"teacher", "augment", "seed"})
    made_from = {"data": digest(data / "summary.json"), "initial": initial, **sections}
    title = "-".join(folder.parts[-2:])
    once(folder, made_from, partial(train_timed, title, params, params.teacher, data))


def _score(folder: Path) -> Facts:
    """mAP50 on the val split of the weights that the training kept, 0..1, and the seconds of the training."""
    return {"val_map50": kept_epoch(read_history(folder / HISTORY))["val_map50"], "seconds": read_json(folder / TRAINING)["seconds"]}


def _table(epochs: dict[str, int], results: dict[str, dict[int, Facts]]) -> str:
    seeds = list(results["random"])
    lines = [f"| val mAP50 | epochs | {' | '.join(f'seed {seed}' for seed in seeds)} | mean |", f"|---|---|{'---|' * (len(seeds) + 1)}"]
    for name, by_seed in results.items():
        scores = [100 * facts["val_map50"] for facts in by_seed.values()]
        cells = [f"{score:.1f}" for score in [*scores, statistics.mean(scores)]]
        lines.append(f"| {name} weights | {epochs[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="labeled pictures, or what prepare_data wrote")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter of all trainings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="seeds (default: 0 1 2)")
    parser.add_argument("--jobs", type=count, default=1, metavar="N", help="trainings at a time, which share the cores (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("outputs/transfer"), metavar="FOLDER", help="default: outputs/transfer")
    return parser


if __name__ == "__main__":
    main()
