"""How often `kdflow monitor` reports a drift: trials with a half of the test pictures as the reference, and pictures of the other half.

kdflow benchmark monitor --model outputs/distill_student --data outputs/prepare_data

A trial draws the halves anew and compares the reference with unchanged pictures, with the same pictures at half brightness, with pictures
that have no object of one class, and with all pictures, but without the detections of one class, as if the model were blind to it. Each
trial takes another class, in turn.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.machine import describe_machine
from components.monitor.command import THRESHOLD
from components.monitor.drift import MIN_PICTURES, measure_drift
from components.params.load import load_params
from components.register_model.export import export_onnx
from components.register_model.reference import make_reference, record_pictures
from components.register_model.serving_log import PictureRecord, PredictionRecorder
from components.register_model.step import MODEL, deployed_settings
from kd.arguments import count
from kd.data.dataset import DetectionData
from kd.errors import InputError, clean_exit
from kd.model.store import load_model
from kd.progress import track

DARKER = 0.5


class RecordedPictures(NamedTuple):
    """The records of all test pictures, unchanged and at half brightness, and the classes of the objects in each."""

    unchanged: list[PictureRecord]
    darker: list[PictureRecord]
    present: list[set[str]]
    recorder: PredictionRecorder


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.monitor") -> None:
    """Print in how many trials each kind of pictures drifts, by their number."""
    parser = argparse.ArgumentParser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("outputs/distill_student"), metavar="FOLDER", help="trained (%(default)s)")
    parser.add_argument("--data", type=Path, default=Path("outputs/prepare_data"), metavar="FOLDER", help="prepared data (%(default)s)")
    parser.add_argument("--sizes", type=count, nargs="+", default=[100, 200], help="pictures to compare (default: 100 200)")
    parser.add_argument("--trials", type=count, default=20, help="for each size (default: 20)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (%(default)s)")
    options = parser.parse_args(arguments)
    recorded = record_test_pictures(options.model, options.data, options.params)
    total = len(recorded.unchanged)
    if max(options.sizes) > total // 2 or min(options.sizes) < MIN_PICTURES:
        problem = f"they must be from {MIN_PICTURES} to {total // 2}, half of the test pictures"
        raise InputError("--sizes", problem, "give other numbers, or raise data.test")
    print(f"{describe_machine()}; {total} test pictures, {sum(len(r['scores']) for r in recorded.unchanged) / total:.1f} detections each")
    for size in options.sizes:
        drifts = count_drifts(recorded, size, options.trials)
        print(f"{size} pictures: drift in " + ", ".join(f"{number} of {options.trials} {name}" for name, number in drifts.items()))


def record_test_pictures(model: Path, data: Path, params_file: Path) -> RecordedPictures:
    """Record every test picture as the served model does, unchanged and darker."""
    network, spec = load_model(model / MODEL)
    split, nms = DetectionData(data / "test", spec.image_size), deployed_settings(load_params(params_file))
    with TemporaryDirectory() as folder:
        exported = Path(folder) / "student.onnx"
        export_onnx(network, spec, exported, nms)
        recorder, darker = (record_pictures(exported, _pictures(split, brightness), nms) for brightness in (1.0, DARKER))
    present = [{split.classes[label] for label in split.objects(index)[1].tolist()} for index in range(len(split))]
    return RecordedPictures(recorder.records, darker.records, present, recorder)


def count_drifts(recorded: RecordedPictures, size: int, trials: int, seed: int = 0) -> Mapping[str, int]:
    """The number of trials with a drift, by kind of pictures."""
    generator, classes, total = np.random.default_rng(seed), recorded.recorder.classes, len(recorded.unchanged)
    drifts: dict[str, int] = {}
    for trial in range(trials):
        order, name = generator.permutation(total), classes[trial % len(classes)]
        half, others = order[: total // 2], order[total // 2 :]
        recorder = PredictionRecorder(classes, "", {})
        recorder.records = [recorded.unchanged[index] for index in half]
        expected = make_reference(recorder)
        kinds = {
            "unchanged": [recorded.unchanged[index] for index in others[:size]],
            "at half brightness": [recorded.darker[index] for index in others[:size]],
            "without the objects of a class": [recorded.unchanged[index] for index in others if name not in recorded.present[index]][:size],
            "without the detections of a class": [without_class(recorded.unchanged[index], name) for index in others[:size]],
        }
        for kind, records in kinds.items():
            drifts[kind] = drifts.get(kind, 0) + any(change.exceeds(THRESHOLD) for change in measure_drift(expected, records))
    return drifts


def without_class(record: PictureRecord, name: str) -> PictureRecord:
    """A record without the detections of a class."""
    kept = [index for index, other in enumerate(record["classes"]) if other != name]
    return {**record, **{key: [record[key][index] for index in kept] for key in ("scores", "box_sizes", "classes")}}


def _pictures(split: DetectionData, brightness: float) -> Iterator[Image.Image]:
    for index in track(range(len(split)), f"brightness {brightness:g}", len(split)):
        yield split.picture(index).point(lambda value: value * brightness)


if __name__ == "__main__":
    main()
