"""What a served model records about each picture, for `kdflow monitor`: no picture, only numbers about it.

Registered models carry a copy of this file, so it imports nothing but NumPy.
"""

import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

with suppress(ImportError):  # there is none on Windows
    import fcntl

DIGITS = 4
BUCKETS: Mapping[str, tuple[float, ...]] = {
    "detections": (0, 1, 2, 5, 10, 20, 50, 100),
    "score": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
    "box_size": (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
}
"""Upper ends of the buckets of the Prometheus histograms."""
PictureRecord = dict[str, Any]


class PredictionRecorder:
    """Collects a record for each picture of a prediction.

    A record has "brightness": the mean of all pixels, in 0..1; "scores"; "box_sizes": square roots of the boxes' shares of the
    picture, in 0..1, and "classes" of the detections; "model" and "settings".

    Args:
        classes: the class names by label.
        model: what identifies the network.
        settings: the parameters of the prediction.
    """

    def __init__(self, classes: Sequence[str], model: str, settings: Mapping[str, float]) -> None:
        self.classes, self.common, self.records = classes, {"model": model, "settings": dict(settings)}, list[PictureRecord]()

    def __call__(self, pixels: NDArray[np.uint8], size: tuple[int, int], found: "FoundObjects") -> None:
        """Add the record of a picture.

        Args:
            pixels: the picture at any size, [H, W, 3].
            size: width and height of the original.
            found: its detections, with boxes in pixels of the original.
        """
        shares = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1) / (size[0] * size[1])
        record = {
            "brightness": round(float(pixels.mean()) / 255, DIGITS),
            "scores": [round(float(score), DIGITS) for score in found.scores],
            "box_sizes": [round(math.sqrt(max(0.0, float(share))), DIGITS) for share in shares],
            "classes": [self.classes[label] for label in found.labels],
        }
        self.records.append(record | self.common)


class FoundObjects(Protocol):
    """The detections in a picture: boxes [M, 4] (x0, y0, x1, y1), scores [M] in 0..1, labels [M]."""

    @property
    def boxes(self) -> NDArray[np.float32]: ...  # noqa: D102

    @property
    def scores(self) -> NDArray[np.float32]: ...  # noqa: D102

    @property
    def labels(self) -> NDArray[np.int64]: ...  # noqa: D102


class ServingLog:
    """Appends records to a file of JSON lines, and counts them in a file of Prometheus metrics next to it.

    The metrics have the name of the log with the suffix .prom, for the textfile collector of Prometheus' node_exporter. Several
    processes may share a log.

    Args:
        path: the log. Its folder must exist.

    Raises:
        ValueError: if the log has the suffix .prom itself.
        OSError: if the log cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix == ".prom":
            raise ValueError(f"{path}: has the suffix of the metrics, which would replace the log; name it .jsonl")
        self.path, self.metrics = path, path.with_suffix(".prom")
        self.append([])

    def append(self, records: Sequence[PictureRecord]) -> None:
        """Append a line for each record, and add the records to the metrics."""
        now = round(time.time(), 3)
        lines = "".join(json.dumps({"time": now, **record}, ensure_ascii=False) + "\n" for record in records)
        with self.path.open("a", encoding="utf-8") as file:  # opened each time, so that the log can be rotated
            with suppress(NameError):
                fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed
            file.write(lines)
            file.flush()
            totals = read_metrics(self.metrics)
            for record in records:
                for name, value in samples(record):
                    totals[name] = totals.get(name, 0) + value
            temporary = self.metrics.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_bytes(format_metrics(totals).encode())
            temporary.replace(self.metrics)


def samples(record: PictureRecord) -> Iterator[tuple[str, float]]:
    """What a record adds to each Prometheus series."""
    yield "kdflow_pictures_total", 1
    for name, count in Counter[str](record["classes"]).items():
        yield f'kdflow_detections_total{{class="{_escape(name)}"}}', count
    values = {
        "detections": [len(record["scores"])],
        "score": record["scores"],
        "box_size": record["box_sizes"],
        "brightness": [record["brightness"]],
    }
    for name, own in values.items():
        for end in BUCKETS[name]:
            yield f'kdflow_{name}_bucket{{le="{end:g}"}}', sum(value <= end for value in own)
        yield f'kdflow_{name}_bucket{{le="+Inf"}}', len(own)
        yield f"kdflow_{name}_sum", sum(own)
        yield f"kdflow_{name}_count", len(own)


def format_metrics(totals: Mapping[str, float]) -> str:
    """Series and their values in Prometheus' text format."""
    lines, seen = [], set()
    for series, value in totals.items():
        family = series.partition("{")[0]
        for suffix in ("_bucket", "_sum", "_count"):
            family = family.removesuffix(suffix)
        if family not in seen:
            lines.append(f"# TYPE {family} {'counter' if family.endswith('_total') else 'histogram'}")
            seen.add(family)
        lines.append(f"{series} {value:.10g}")
    return "".join(f"{line}\n" for line in lines)


def read_metrics(path: Path) -> dict[str, float]:
    """The series in a file that `format_metrics` wrote; empty if there is none."""
    if not path.exists():
        return {}
    lines = path.read_bytes().decode().split("\n")  # other line separators can be in the name of a class
    return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines if line and not line.startswith("#"))}


def _escape(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
