"""How many operators the losses call, and whether one of them waits for the device.

kdflow benchmark loss_ops --batches 8 64

Counted are the operators of a forward pass that are not called by other operators. A loss that loops over pictures or objects has
more of them in a larger batch. On a GPU, an operator of which the host needs the result (`item`, `nonzero`, `masked_select`,
`unique`, a boolean index) makes the whole step wait; they are found on a CPU as well.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.machine import describe_machine
from benchmarks.operators import OperatorCalls, count_operators
from benchmarks.step_parts import build_from_batch, synthetic_batch, synthetic_spec
from components.params.load import load_params
from components.params.models import Params
from kd.detection.decode import flatten_heads
from kd.detection.loss import DetectionLoss
from kd.distillation.response_loss import response_loss, teacher_detections
from kd.errors import clean_exit
from kd.model.build import build_model

MAX_CALLS = {"detection": 300}
"""Upper bounds of the number of operators."""


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.loss_ops") -> None:
    """Print the number of operators of each loss at each batch, and what waits."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 64], help="pictures in a batch (default: 8 64)")
    parser.add_argument("--size", type=int, default=96, help="side of the pictures (default: 96)")
    options = parser.parse_args(arguments)
    params = load_params(options.params)
    calls = {}
    for batch in options.batches:
        functions = loss_functions(params, options.size, batch)
        calls[batch] = {name: count_operators(function) for name, function in functions.items()}
    print(f"{describe_machine()}; operators of a forward pass")
    print(f"{'loss':<14}{''.join(f'batch {batch}'.rjust(10) for batch in calls)}  result")
    for name in calls[options.batches[0]]:
        of_loss = [found[name] for found in calls.values()]
        print(f"{name:<14}{''.join(f'{found.calls:>10}' for found in of_loss)}  {assess(name, of_loss)}")


def loss_functions(params: Params, size: int, pictures: int) -> dict[str, Callable[[], object]]:
    """The detection loss, the response loss, and the whole distillation loss (features and response) of untrained networks."""
    teacher_spec, student_spec = synthetic_spec(params.teacher, size), synthetic_spec(params.student, size)
    teacher, student = build_model(teacher_spec), build_model(student_spec)
    distillation, batch = build_from_batch(
        params, teacher.eval(), teacher_spec, student, student_spec, synthetic_batch(size, pictures), None
    )
    criterion = DetectionLoss(student_spec.anchors)
    with torch.no_grad():
        found = distillation.teacher(batch.pictures, distillation.strides)
        maps = distillation.maps(batch, found)
    output = student(batch.pictures)
    predictions = criterion.candidates(output.heads)
    candidates = flatten_heads(teacher(batch.pictures).heads, teacher_spec.anchors)
    return {
        "detection": lambda: criterion(predictions, batch),
        "response": lambda: response_loss(predictions, criterion.assign, teacher_detections(candidates), size),
        "distillation": lambda: distillation.loss(output, predictions, found, maps, batch, 0.0),
    }


def assess(name: str, calls: Sequence[OperatorCalls]) -> str:
    """What is expected of the operators of the loss `name` at several batches, and whether they are so."""
    counts, waiting = [found.calls for found in calls], {operator for found in calls for operator in found.waiting}
    limit = MAX_CALLS.get(name)
    results = [
        ("equal at each batch", len(set(counts)) == 1),
        *([(f"at most {limit}", max(counts) <= limit)] if limit else []),
        (" ".join(["none waits", *sorted(waiting)]), not waiting),
    ]
    return "; ".join(f"{meaning} {'reached' if reached else 'MISSED'}" for meaning, reached in results)


if __name__ == "__main__":
    main()
