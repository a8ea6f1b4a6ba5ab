"""Time, memory and output of prepare_data on one core and on two.

kdflow benchmark prepare_data --pictures 118000 --layout coco

The dataset is synthetic: JPEG files of 640x480 pixels, all with different pixels, and as many boxes a picture as in COCO. Each
measurement runs in a fresh process on the same files. The disk must hold the pictures twice, 70 KB each.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.machine import describe_machine
from benchmarks.memory import peak_memory
from components.params.load import load_params
from components.prepare_data.step import prepare_data
from components.runtime.tracking import NullRun
from kd.files import atomic_folder
from kd.progress import track

WIDTH, HEIGHT = 640, 480
CLASSES = [f"class {label}" for label in range(80)]
BOXES_PER_PICTURE = 300 / 118
TEMPLATES = 128
"""JPEG files that are encoded; the others are variants of them."""
PICTURES_PER_CLASS = 7
"""At least, so that every class has boxes in the training pictures."""
VARIED_STEPS, STEP_CHANGES = 8, 4
CORES = (1, 2)
Row = tuple[str, list[tuple[int, int, int, int, int]]]
"""A picture's name without extension, and its boxes (label, left, top, width, height)."""


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.prepare_data") -> None:
    """Measure each layout on one core and on two."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=3000, help="number of pictures (default: 3000)")
    parser.add_argument("--layout", choices=WRITERS, nargs="+", default=[*WRITERS], help="layouts of the labels (default: all)")
    parser.add_argument("--folder", type=Path, help="folder for the data, which are deleted afterwards (default: a temporary folder)")
    parser.add_argument("--run", metavar="LAYOUT", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        print(json.dumps(_measure_here(options.folder, options.run)))
        return
    with tempfile.TemporaryDirectory(prefix="kdflow-benchmark-", dir=options.folder) as name:
        folder = Path(name)
        rows = write_pictures(folder / "images", options.pictures)
        print(f"{describe_machine()}, {options.pictures} pictures, {sum(len(boxes) for _, boxes in rows)} boxes")
        for layout in options.layout:
            measure(folder, layout, rows)


def measure(folder: Path, layout: str, rows: Sequence[Row]) -> None:
    """Write the labels in `layout`, and print seconds, peak memory and what was written for each number of cores."""
    data = folder / layout
    data.mkdir()
    (folder / "images").rename(data / "images")
    WRITERS[layout](data, rows)
    seconds = []
    for cores in CORES:
        os.sync()
        with _use_cores(cores):
            command = [sys.executable, "-m", "benchmarks.prepare_data", "--folder", str(folder), "--run", layout]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
        seconds.append(found["seconds"])
        written = f"{found['files']} files with {found['written']:.0f} MB"
        print(f"{layout}, {cores} cores: {found['seconds']:.1f} s, {found['megabytes']:.0f} MB memory, {written}", flush=True)
    print(f"{layout}: {seconds[0] / seconds[-1]:.2f} times as fast on {CORES[-1]} cores", flush=True)
    (data / "images").rename(folder / "images")
    shutil.rmtree(data)


def write_pictures(folder: Path, count: int) -> list[Row]:
    """Write `count` JPEG files without equal pixels; return their names and random boxes."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    templates = [_encode(rng) for _ in range(min(TEMPLATES, count))]
    classes = max(min(len(CLASSES), count // PICTURES_PER_CLASS), 1)
    rows: list[Row] = [(f"{index:012}", []) for index in range(count)]
    for index, (name, _) in enumerate(track(rows, "write pictures", count)):
        variant, template = divmod(index, len(templates))
        (folder / f"{name}.jpg").write_bytes(_vary(templates[template], variant))
    for index in rng.integers(count, size=round(count * BOXES_PER_PICTURE)).tolist():
        width, height = int(rng.integers(16, WIDTH // 2)), int(rng.integers(16, HEIGHT // 2))
        left, top = int(rng.integers(WIDTH - width)), int(rng.integers(HEIGHT - height))
        rows[index][1].append((int(rng.integers(classes)), left, top, width, height))
    return rows


def _encode(rng: np.random.Generator) -> bytes:
    """A random crop of one of scikit-learn's two photographs as JPEG."""
    photograph = Image.fromarray(load_sample_images().images[rng.integers(2)])
    left, top = int(rng.integers(photograph.width // 2)), int(rng.integers(photograph.height // 2))
    crop = photograph.crop((left, top, left + photograph.width // 2, top + photograph.height // 2)).resize((WIDTH, HEIGHT))
    noise = rng.normal(0, 4, (HEIGHT, WIDTH, 3))
    pixels = (np.asarray(crop) + noise).clip(0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _vary(content: bytes, variant: int) -> bytes:
    """Change the quantization steps of low frequencies, so that all pixels change without another encoding."""
    table = content.index(b"\xff\xdb") + 5  # marker, length and number of the table
    varied = bytearray(content)
    for position in range(table + 1, table + 1 + VARIED_STEPS):
        variant, change = divmod(variant, STEP_CHANGES)
        varied[position] += change
    if variant:
        raise ValueError(f"there are {TEMPLATES * STEP_CHANGES**VARIED_STEPS} different pictures")
    return bytes(varied)


def _write_coco(folder: Path, rows: Sequence[Row]) -> None:
    images = [{"id": i, "file_name": f"{name}.jpg", "width": WIDTH, "height": HEIGHT} for i, (name, _) in enumerate(rows)]
    boxes = [(image, box) for image, (_, own) in enumerate(rows) for box in own]
    annotations = [
        {"id": i, "image_id": image, "category_id": label, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for i, (image, (label, *box)) in enumerate(boxes)
    ]
    used = {label for _, own in rows for label, *_ in own}
    categories = [{"id": label, "name": CLASSES[label]} for label in sorted(used)]
    (folder / "annotations.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def _write_voc(folder: Path, rows: Sequence[Row]) -> None:
    (folder / "Annotations").mkdir()
    for name, boxes in rows:
        objects = "".join(
            f"<object><name>{CLASSES[label]}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult><bndbox>"
            f"<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>\n"
            for label, x, y, w, h in boxes
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
        text = (
            f"<annotation><folder>images</folder><filename>{name}.jpg</filename>\n{size}\n<segmented>0</segmented>\n{objects}</annotation>"
        )
        (folder / "Annotations" / f"{name}.xml").write_text(text)


def _write_yolo(folder: Path, rows: Sequence[Row]) -> None:
    (folder / "labels").mkdir()
    for name, boxes in rows:
        lines = (
            f"{label} {(x + w / 2) / WIDTH:.6f} {(y + h / 2) / HEIGHT:.6f} {w / WIDTH:.6f} {h / HEIGHT:.6f}\n"
            for label, x, y, w, h in boxes
        )
        (folder / "labels" / f"{name}.txt").write_text("".join(lines))
    (folder / "data.yaml").write_text(yaml.safe_dump({"names": CLASSES, "train": "images"}))


WRITERS: dict[str, Callable[[Path, Sequence[Row]], None]] = {"coco": _write_coco, "voc": _write_voc, "yolo": _write_yolo}


def _measure_here(folder: Path, layout: str) -> dict[str, float]:
    """Run prepare_data in this process."""
    params = load_params(overrides=[f"data.path={folder / layout}", f"data.layout={layout}", "data.image_size=416"])
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder) as name, atomic_folder(Path(name) / "prepared") as output:
        prepare_data(params, NullRun(), output=output)
        seconds = time.monotonic() - start
        sizes = [file.stat().st_size for file in output.rglob("*") if file.is_file()]
    return {"seconds": seconds, "megabytes": peak_memory() / 1e6, "files": len(sizes), "written": sum(sizes) / 1e6}


@contextmanager
def _use_cores(count: int) -> Iterator[None]:
    """Limit the processes that are started meanwhile to `count` cores."""
    available = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(available)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, available)


if __name__ == "__main__":
    main()
