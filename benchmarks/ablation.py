"""Which part of the method improves the student: train every variant with the same budget, and compare them seed by seed.

The teacher is trained once. Every variant is trained with every seed, as train_baseline and distill_student train. The same
command resumes after it was stopped and does not repeat finished trainings. OUT/results.md and OUT/results.json are updated
after each distillation. Only one command at a time may use OUT; it can run several trainings in parallel.
"""

import argparse
import inspect
import json
import shlex
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import variants
from benchmarks.comparison import Facts
from benchmarks.jobs import Job, finished
from benchmarks.results import Grid, show, write_results
from benchmarks.trainings import Ablation, prepared, with_labels
from benchmarks.variants import PSEUDO, Variant
from components.evaluate.scoring import load_split
from components.params.load import load_params
from components.params.models import Params
from components.shared.training import Diverged
from kd.data.dataset import UNLABELLED
from kd.errors import InputError, clean_exit

Task = tuple[Variant, int]
"""A variant with a seed."""
EXAMPLES = """
groups:
  taps, methods, grid (methods x taps), responses, losses, weights, schedules, published, published-weights, epochs,
  unlabelled (distilled without them, with them, and with pseudo labels), all

examples:
  # the settings of params.yaml against the baseline, on the validation split
  {prog} --data outputs/prepare_data --variants baseline default

  # every method at every tap, and the published losses; on the test split, once, for publication
  {prog} --data ~/pictures --params mine.yaml --variants grid published --split test --out ablation/mine

  # labels for a third of the training pictures; the student learns from the teacher on the others as well, or from its boxes
  {prog} --data ~/pictures --params mine.yaml --labels 0.333 --variants unlabelled --out ablation/third

  # other weights, and a longer training, which is compared with a baseline that trains as long
  {prog} --data ~/pictures --variants default@w=6,schedule=constant default@student.train.epochs=24
"""


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.ablation") -> None:
    """Run the missing trainings, and print the tables."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(prog).parse_args(words)
    data = ["data.path=" + json.dumps(str(options.data)), *options.set]
    params = load_params(options.params, data)
    chosen = variants.select(options.variants, params)
    settings = {variant.name: load_params(options.params, [*data, *variant.changes]) for variant in chosen}
    pictures = with_labels(prepared(options.data, params, options.out), options.labels, params, options.out)
    if any(variant.published == PSEUDO for variant in chosen) and not (pictures / UNLABELLED).exists():
        raise InputError("--variants", f"'{PSEUDO}' needs pictures without labels", "set data.unlabelled, or --labels")
    ablation = Ablation(options.out, pictures, params, options.teacher_seed)
    load_split(ablation.data / options.split, params.data.image_size)
    teacher: dict[Task | None, Job] = {} if options.teacher else {None: ablation.train_teacher}
    if options.teacher:
        ablation.take_teacher(options.teacher)
    about = {
        "command": shlex.join([*shlex.split(prog), *words]),
        "split": options.split,
        "params": params.model_dump(mode="json"),
        "teacher_seed": None if options.teacher else options.teacher_seed,
    }
    tasks = {(variant, seed): settings[variant.name].model_copy(update={"seed": seed}) for seed in options.seeds for variant in chosen}
    show(_train_all(ablation, teacher, tasks, options.jobs, about))
    print(f"Written: {options.out / 'results.md'} and results.json")


def _train_all(
    ablation: Ablation, teacher: Mapping[Task | None, Job], tasks: Mapping[Task, Params], at_once: int, about: dict[str, Any]
) -> list[Grid]:
    """First the teacher and the baselines, then the distillations, seed by seed, so that the tables compare all variants early."""
    baselines = {task: partial(ablation.train, task[0], params) for task, params in tasks.items() if task[0].is_baseline}
    distilled = {task: partial(ablation.train, task[0], params) for task, params in tasks.items() if not task[0].is_baseline}
    ended: list[Task] = []
    for task, outcome in finished({**teacher, **baselines}, at_once):
        ended += _kept(task, outcome)
    for task in distilled:
        ablation.compute_maps(tasks[task])
    grids = _tabulate(ablation, tasks, ended, about)
    for task, outcome in finished(distilled, at_once):
        ended += _kept(task, outcome)
        print(f"{len(ended)} of {len(tasks)} students are trained", file=sys.stderr, flush=True)
        grids = _tabulate(ablation, tasks, ended, about)
    return grids


def _kept(task: Task | None, outcome: Job) -> list[Task]:
    """The task, unless it is the teacher's or its training diverged."""
    try:
        outcome()
    except Diverged as error:
        if task is None:
            raise
        print(f"warning: left out: {error}", file=sys.stderr)
        return []
    return [task] if task else []


def _tabulate(ablation: Ablation, tasks: Collection[Task], ended: Collection[Task], about: dict[str, Any]) -> list[Grid]:
    """Write the tables of the finished trainings."""
    runs: dict[str, dict[int, Facts]] = defaultdict(dict)
    for variant, seed in (task for task in tasks if task in ended):
        runs[variant.name][seed] = ablation.facts(ablation.run_of(variant, seed), about["split"])
    chosen = list(dict.fromkeys(variant for variant, _ in tasks))
    return write_results(ablation.out, about, chosen, runs, ablation.facts(ablation.teacher, about["split"]))


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        epilog=f"{inspect.getdoc(variants)}\n{EXAMPLES.format(prog=prog)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="labelled pictures, or what prepare_data wrote")
    labels = "fraction of the training pictures that keep their labels, above 0 and below 1 (default: all)"
    parser.add_argument("--labels", type=_fraction, metavar="FRACTION", help=labels)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter of all variants")
    parser.add_argument("--variants", nargs="+", default=["baseline", "default"], metavar="NAME", help="names and groups, see below")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="seeds of the students (default: 0 1 2)")
    parser.add_argument("--teacher-seed", type=int, default=0, metavar="N", help="the teacher's seed (default: 0)")
    parser.add_argument("--teacher", type=Path, metavar="FOLDER", help="a teacher that is trained already (default: train one)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trainings at a time, which share the cores (default: 1)")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="pictures to score on; test only to publish (default: val)")
    parser.add_argument("--out", type=Path, default=Path("outputs/ablation"), metavar="FOLDER", help="default: outputs/ablation")
    return parser


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not above 0 and below 1")
    return value


if __name__ == "__main__":
    main()
