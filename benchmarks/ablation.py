"""Which part of the method makes the student better: trains every variant with the same budget and compares them seed by seed.

The teacher is trained once; then every variant, with every seed, as distill_student trains it. The same command goes on
where it was stopped, and takes finished trainings as they are. OUT/results.md and OUT/results.json are written after each.
One command at a time works in OUT.
"""

import argparse
import inspect
import itertools
import json
import shlex
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import variants
from benchmarks.comparison import Facts
from benchmarks.results import Grid, show, write_results
from benchmarks.trainings import Bench, prepared
from benchmarks.variants import Variant
from components.params import Params, load_params
from components.training import Diverged
from kd.data.dataset import DetectionData
from kd.errors import InputError, exits_cleanly

EXAMPLES = """
groups:
  taps, readings, grid (readings x taps), responses, weights, schedules, rivals, rival-weights, epochs, all

examples:
  # the default of params.yaml against the student alone, on the validation split
  python -m benchmarks.ablation --data outputs/prepare_data --variants alone default

  # every reading at every place, and the rivals; on the test split, once, for publishing
  python -m benchmarks.ablation --data ~/pictures --params mine.yaml --variants grid rivals --split test --out ablation/mine

  # other weights and a longer training, which is compared with a student alone that trains as long
  python -m benchmarks.ablation --data ~/pictures --variants default@w=6,schedule=constant default@student.train.epochs=24
"""


@exits_cleanly
def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, and print the tables."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(words)
    data = ["data.path=" + json.dumps(str(options.data)), *options.set]
    params = load_params(options.params, data)
    chosen = variants.select(options.variants, params)
    settings = {variant.name: load_params(options.params, [*data, *variant.changes]) for variant in chosen}
    bench = Bench(options.out, prepared(options.data, params, options.out), params, options.teacher_seed)
    if not len(DetectionData(bench.data / options.split, params.data.image_size)):
        raise InputError(bench.data / options.split, "has no pictures", f"raise data.{options.split}, or add such a split")
    if options.teacher:
        bench.take_teacher(options.teacher)
    else:
        bench.train_teacher()
    about = {
        "command": shlex.join(["python", "-m", "benchmarks.ablation", *words]),
        "split": options.split,
        "params": params.model_dump(mode="json"),
        "teacher_seed": None if options.teacher else options.teacher_seed,
    }
    show(_train_all(bench, chosen, settings, options.seeds, about))
    print(f"Written: {options.out / 'results.md'} and results.json")


def _train_all(bench: Bench, chosen: list[Variant], settings: dict[str, Params], seeds: list[int], about: dict[str, Any]) -> list[Grid]:
    """Seed by seed, so that the tables compare all variants early; a variant that diverges with a seed is left out."""
    teacher = bench.facts(bench.teacher, about["split"])
    runs: dict[str, dict[int, Facts]] = defaultdict(dict)
    grids: list[Grid] = []
    for seed, (number, variant) in itertools.product(seeds, enumerate(chosen, 1)):
        print(f"seed {seed}, variant {number} of {len(chosen)}: {variant.name}", file=sys.stderr, flush=True)
        try:
            bench.train(variant, settings[variant.name].model_copy(update={"seed": seed}))
        except Diverged as error:
            print(f"warning: left out: {error}", file=sys.stderr)
            continue
        runs[variant.name][seed] = bench.facts(bench.run_of(variant, seed), about["split"])
        grids = write_results(bench.out, about, chosen, runs, teacher)
    return grids


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation",
        description=__doc__,
        epilog=f"{inspect.getdoc(variants)}\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="labelled pictures, or what prepare_data wrote")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter of all variants")
    parser.add_argument("--variants", nargs="+", default=["alone", "default"], metavar="NAME", help="names and groups, see below")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="seeds of the students (default: 0 1 2)")
    parser.add_argument("--teacher-seed", type=int, default=0, metavar="N", help="the teacher's seed (default: 0)")
    parser.add_argument("--teacher", type=Path, metavar="FOLDER", help="a teacher that is trained already (default: train one)")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="pictures to score on; test only to publish (default: val)")
    parser.add_argument("--out", type=Path, default=Path("outputs/ablation"), metavar="FOLDER", help="default: outputs/ablation")
    return parser


if __name__ == "__main__":
    main()
