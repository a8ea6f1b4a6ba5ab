"""Whether memory grows with the number of pictures, in prepare_data and compute_info_maps.

python -m benchmarks.map_memory --pictures 200 2000

Each step runs in a fresh process on tiny synthetic pictures, once for every number of them; its peak resident memory is
compared. Pictures and maps are not kept. prepare_data keeps the labels while it splits and counts them, a box in some 0.2 KB.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import describe_machine
from benchmarks.memory import peak_memory
from components.compute_info_maps.step import compute_info_maps
from components.params.load import load_params
from components.params.models import Params
from components.prepare_data.step import prepare_data
from components.runtime.tracking import NullRun
from components.shared.training import build_spec
from kd.files import atomic_folder, read_json, write_json
from kd.model.build import build_model
from kd.model.store import save_model

SIDE = 64
CLASSES = ("red", "blue")
TINY = ("teacher.width=0.0625", "teacher.depth=0.1")
"""Changes of parameters for the smallest teacher."""
STEPS = ("prepare_data", "compute_info_maps")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.map_memory") -> None:
    """Measure both steps at both numbers of pictures."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--pictures", type=int, nargs=2, default=[200, 2000], help="two numbers of pictures (default: 200 2000)")
    parser.add_argument("--size", type=int, default=128, help="side of the networks' input, which sets that of the maps (default: 128)")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.step:
        print(peak_of(options.step, options.folder, options.size))
        return
    print(describe_machine())
    few, many = sorted(options.pictures)
    peaks = {count: measure(count, options.size) for count in (few, many)}
    for step in STEPS:
        growth = (peaks[many][step] - peaks[few][step]) / (many - few)
        megabytes = " and ".join(f"{peaks[count][step] / 1e6:.0f} MB at {count} pictures" for count in (few, many))
        print(f"{step}: {megabytes}, {growth:.0f} bytes a picture")


def measure(pictures: int, size: int) -> dict[str, float]:
    """Peak resident bytes of each step, one after the other on the same data."""
    with tempfile.TemporaryDirectory() as name:
        write_pictures(Path(name) / "source", pictures)
        return {step: _in_fresh_process(step, name, size) for step in STEPS}


def peak_of(step: str, folder: Path, size: int) -> float:
    """Run `step` in this process and return its peak resident bytes."""
    params = load_params(overrides=[f"data.path={folder / 'source'}", f"data.image_size={size}", "data.anchors=coco", *TINY])
    if step == "prepare_data":
        with atomic_folder(folder / "prepared") as output:
            prepare_data(params, NullRun(), output=output)
    else:
        compute_untrained_maps(params, folder)
    return peak_memory()


def compute_untrained_maps(params: Params, folder: Path) -> None:
    """Write the maps of `folder`/prepared, by an untrained teacher, to `folder`/maps."""
    spec = build_spec(params.teacher, read_json(folder / "prepared" / "summary.json"))
    save_model(folder / "teacher" / "model.safetensors", build_model(spec), spec)
    with atomic_folder(folder / "maps") as output:
        compute_info_maps(params, NullRun(), folder / "prepared", folder / "teacher", output)


def write_pictures(folder: Path, count: int) -> None:
    """Noise with two boxes a picture, in COCO layout: `count` pictures to train on, and two to test."""
    rng = np.random.default_rng(0)
    for split, pictures in (("train", count), ("val", 2), ("test", 2)):
        (folder / split / "images").mkdir(parents=True)
        for index in range(1, pictures + 1):
            pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / "images" / f"{index}.png")
        write_json(folder / split / "annotations.json", _annotations(pictures))


def _annotations(pictures: int) -> dict[str, Any]:
    images = [{"id": index, "file_name": f"{index}.png", "width": SIDE, "height": SIDE} for index in range(1, pictures + 1)]
    boxes = [(image["id"], label) for image in images for label in (1, 2)]
    annotations = [
        {"id": number, "image_id": image, "category_id": label, "bbox": [4 * label, 4, 20, 20], "area": 400, "iscrowd": 0}
        for number, (image, label) in enumerate(boxes, 1)
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES, 1)]}


def _in_fresh_process(step: str, folder: str, size: int) -> float:
    command = [sys.executable, "-m", "benchmarks.map_memory", "--folder", folder, "--size", str(size), "--step", step]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
