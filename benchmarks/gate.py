"""How often the gate promotes a model that is not better: trials with models that differ only in their seed, and the power for one pair.

kdflow benchmark gate --models outputs/seed0 outputs/seed1 outputs/seed2 --pair outputs/seed0 outputs/small

Each model detects once in all test pictures, and OUT keeps which detection is correct. A trial draws pictures without replacement, takes
two models, and applies every rule of the gate except those about files and times, without `group_pattern`. A third of the test pictures
or less in a trial keeps the trials nearly independent. Models of different seeds differ in quality: some of the promotions are correct.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from components.evaluate.scoring import MODEL, load_split, load_trained
from components.params.load import load_params
from components.params.models import Gate, Params
from components.register_model.gate.bootstrap import Floats, Matches, mean_ap, paired_bootstrap, read_matches
from components.register_model.gate.rules import GateInputs, Measurements, check_rules
from components.register_model.gate.run_gate import make_comparison
from kd.arguments import count
from kd.detection.evaluate import NMSConfig, detect
from kd.detection.scores import coco_evaluation, split_results
from kd.errors import InputError, clean_exit
from kd.files import atomic_file, digest, digest_json, read_json
from kd.progress import track

WEEKS = 52
FIRST_RESAMPLES = 200
"""Resamples that often suffice to reject a model; a multiple of the bootstrap's chunks, so that they are its first ones."""
Model = list[Matches]
"""The matches of a model in all test pictures, by class."""
Draw = Callable[[np.random.Generator], tuple[Model, Model]]
"""Chooses challenger and champion of a trial."""


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.gate") -> None:
    """Print the rate of promotions by number of test pictures, for equal models and for the pair."""
    options = _parser(prog).parse_args(arguments)
    if not options.pair and len(options.models) < 2:
        raise InputError("--models", "fewer than two models are given, and no --pair", "give the folders of trained models")
    params = load_params(options.params, options.set)
    classes = tuple(read_json(options.data / "summary.json")["classes"])
    gate = params.register_model.gate
    models = [load_matches(folder, options.data, params, options.out) for folder in options.models]
    pair = [load_matches(folder, options.data, params, options.out) for folder in options.pair]
    pictures = len((models or pair)[0][0].objects)
    if max(options.sizes) > pictures:
        raise InputError("--sizes", f"there are {pictures} test pictures", "give smaller numbers, or raise data.test")
    print(f"{pictures} test pictures, {len(models)} models; confidence {gate.confidence:g}, {gate.resamples} resamples")
    for size in options.sizes:
        if len(models) > 1:
            rate, upper = promotion_rate(lambda generator: _draw_two(models, generator), classes, gate, size, options.trials)
            in_a_year = f"{1 - (1 - rate) ** WEEKS:.1%} (at most {1 - (1 - upper) ** WEEKS:.1%})"
            print(
                f"different seeds, {size} pictures: {rate:.2%} promoted, at most {upper:.2%}; at least once in {WEEKS} weeks {in_a_year}",
                flush=True,
            )
        if pair:
            rate, upper = promotion_rate(lambda _: (pair[1], pair[0]), classes, gate, size, options.trials)
            print(f"the pair, {size} pictures: {rate:.1%} promoted", flush=True)


def load_matches(folder: Path, data: Path, params: Params, out: Path) -> Model:
    """The matches of the model in `folder` on the test pictures, from a file in `out` if they were computed before."""
    summary = read_json(data / "summary.json")
    settings = params.evaluate.model_dump()
    file = out / f"{digest_json([digest(folder / MODEL), summary['digest'], settings])[:16]}.npz"
    if not file.exists():
        trained, split = load_trained(folder, summary), load_split(data / "test", summary["image_size"])
        nms = NMSConfig(params.evaluate.confidence, params.evaluate.nms_iou, params.evaluate.max_detections)
        found = list(track(detect(trained.network, trained.spec.anchors, split, nms), f"score {folder.name}", len(split)))
        evaluation = coco_evaluation(split.ground_truth, split_results(split.ids, found), nms.max_detections)
        arrays = {f"{label}.{key}": value for label, own in enumerate(read_matches(evaluation)) for key, value in own._asdict().items()}
        with atomic_file(file) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
    with np.load(file) as stored:
        return [Matches(*(stored[f"{label}.{key}"] for key in Matches._fields)) for label in range(len(summary["classes"]))]


def promotion_rate(draw: Draw, classes: tuple[str, ...], gate: Gate, size: int, trials: int, seed: int = 0) -> tuple[float, float]:
    """The share of trials with `size` pictures in which the challenger passes, and its upper limit at 95 % (Wilson)."""
    generator, passed = np.random.default_rng(seed), 0
    for _ in track(range(trials), f"{size} pictures", trials, "trials"):
        ours, theirs = draw(generator)
        chosen = np.sort(generator.choice(len(ours[0].objects), size, replace=False))
        passed += passes_gate(subset(ours, chosen), subset(theirs, chosen), classes, gate)
    rate, z = passed / trials, NormalDist().inv_cdf(0.95)
    spread = z * math.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    return rate, (rate + z**2 / (2 * trials) + spread) / (1 + z**2 / trials)


def passes_gate(ours: Model, theirs: Model, classes: tuple[str, ...], gate: Gate) -> bool:
    """Whether `ours` replaces `theirs`. The bootstrap is left out, or ends early, if the model cannot pass any more."""
    once = np.ones((1, len(ours[0].objects)), dtype=np.int64)
    [scores], [their_scores] = mean_ap(ours, once), mean_ap(theirs, once)
    compared = [1 + k for k, name in enumerate(classes) if name not in gate.unjudged]
    if (
        scores[0, 0] - their_scores[0, 0] < gate.min_gain
        or np.nanmin(np.append((scores - their_scores)[compared], 0)) < -gate.max_class_drop
    ):
        return False
    first = min(FIRST_RESAMPLES, gate.resamples)
    # the first resamples are those of the whole bootstrap, so more than this share without a gain decide
    confidence = 1 - (1 - gate.confidence) / gate.comparisons * gate.resamples / first
    if confidence > 0.5 and paired_bootstrap(ours, theirs, first, confidence).mean["map"].low < 0:
        return False
    measured = [_measurements(part, classes) for part in (scores, their_scores)]
    gains = paired_bootstrap(ours, theirs, gate.resamples, gate.confidence, gate.comparisons)
    inputs = GateInputs(measured[0], make_comparison(measured[1], gains, 1.0, classes, ours), (), False, 0.0, 1.0)
    return all(result.passed for result in check_rules(inputs, gate))


def subset(model: Model, chosen: NDArray[np.int64]) -> Model:
    """The matches in the `chosen` pictures."""
    place = np.full(len(model[0].objects), -1)
    place[chosen] = np.arange(len(chosen))
    kept = [place[own.image_index] >= 0 for own in model]
    return [
        Matches(place[own.image_index[keep]], own.correct[:, keep], own.ignored[:, keep], own.objects[chosen])
        for own, keep in zip(model, kept, strict=True)
    ]


def _measurements(scores: Floats, classes: tuple[str, ...]) -> Measurements:
    mean, *by_class = scores
    per_class = {name: float(ap50) for name, (_, ap50) in zip(classes, by_class, strict=True) if not np.isnan(ap50)}
    return Measurements(classes, float(mean[0]), float(mean[1]), per_class, 1.0, True)


def _draw_two(models: Sequence[Model], generator: np.random.Generator) -> tuple[Model, Model]:
    ours, theirs = generator.choice(len(models), 2, replace=False)
    return models[ours], models[theirs]


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, nargs="+", default=[], metavar="FOLDER", help="trained alike with different seeds")
    parser.add_argument("--pair", type=Path, nargs=2, default=[], metavar="FOLDER", help="a champion and a challenger, for the power")
    parser.add_argument("--data", type=Path, default=Path("outputs/prepare_data"), metavar="FOLDER", help="prepared data (%(default)s)")
    parser.add_argument("--sizes", type=count, nargs="+", default=[50, 100, 200], help="test pictures of a trial (default: 50 100 200)")
    parser.add_argument("--trials", type=count, default=2000, help="for each size (default: 2000)")
    parser.add_argument("--out", type=Path, default=Path("outputs/gate"), metavar="FOLDER", help="keeps the matches (%(default)s)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="the gate (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter of it")
    return parser


if __name__ == "__main__":
    main()
