"""ONNX models with known scores, pictures to score them on, and a function that registers them.

Each picture has one grey level and one object of every class, in the same position in all pictures. A model detects class k in
the pictures that are brighter than a threshold. The threshold sets the fraction of pictures with a detection, and so the AP.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from mlflow import MlflowClient
from onnx import compose, helper, numpy_helper, parser
from PIL import Image

from components.register_model.export import postprocess_model
from components.register_model.registry import Registry
from components.runtime.store import tracking_uri
from kd.detection.evaluate import NMSConfig
from kd.files import write_json
from tests.packed import pack

SIDE, PICTURES = 64, 40
CLASSES = ("cat", "dog")
NETWORK = """
<ir_version: 10, opset_import: ["" : 18]>
network (float[N, 3, 64, 64] images) => (float[N, {boxes}, 4] candidates, float[N, {boxes}, {boxes}] strengths)
{{
    over_all = Constant <value_ints = [1, 2, 3]> ()
    batch = Shape <start = 0, end = 1> (images)
    each = Constant <value_ints = [{boxes}, 4]> ()
    whole = Concat <axis = 0> (batch, each)
    candidates = Expand (corners, whole)
    grey = ReduceMean <keepdims = 1> (images, over_all)
    line = Constant <value_ints = [-1, 1, 1]> ()
    column = Reshape (grey, line)
    seen = Greater (column, thresholds)
    none = Constant <value_float = 0.0> ()
    strengths = Where (seen, certainty, none)
}}
"""


def write_model(path: Path, shares: Sequence[float], classes: Sequence[str] = CLASSES, score: float = 0.9, extra_weights: int = 0) -> Path:
    """A model that detects class k in the brightest fraction `shares[k]` of the pictures, with `extra_weights` unused floats."""
    count = len(classes)
    network = parser.parse_model(NETWORK.format(boxes=count))
    thresholds = [1 - share for share in shares]
    for name, values in {
        "corners": [[box(k) for k in range(count)]],
        "certainty": [(np.eye(count) * score).tolist()],
        "thresholds": [[thresholds]],
        "extra": list(range(extra_weights)),
    }.items():
        network.graph.initializer.append(numpy_helper.from_array(np.array(values, np.float32), name))
    end = postprocess_model(count, count, NMSConfig(0.25), 10, 18)
    model = compose.merge_models(network, end, io_map=[("candidates", "candidates"), ("strengths", "strengths")])
    helper.set_model_props(model, {"classes": json.dumps(list(classes)), "image_size": str(SIDE)})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, path)
    return path


def box(label: int) -> list[float]:
    """(x0, y0, x1, y1) of the object of a class."""
    return [4.0 + 20 * label, 4.0, 20.0 + 20 * label, 40.0]


def write_data(folder: Path, classes: Sequence[str] = CLASSES) -> Path:
    """Prepared data with a test split of `PICTURES` pictures with evenly spaced grey levels."""
    images, annotations = [], []
    for i in range(PICTURES):
        images.append({"id": i + 1, "file_name": f"{i}.png", "width": SIDE, "height": SIDE})
        (folder / "test/images").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIDE, SIDE), (round(255 * (i + 0.5) / PICTURES),) * 3).save(folder / "test/images" / f"{i}.png")
        for label in range(len(classes)):
            x0, y0, x1, y1 = box(label)
            entry = {"id": len(annotations) + 1, "image_id": i + 1, "category_id": label + 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
            annotations.append({**entry, "area": (x1 - x0) * (y1 - y0), "iscrowd": 0})
    categories = [{"id": label, "name": name} for label, name in enumerate(classes, 1)]
    write_json(folder / "test/annotations.json", {"images": images, "annotations": annotations, "categories": categories})
    pack(folder / "test")
    write_json(folder / "summary.json", {"digest": "0123abcd", "classes": list(classes)})
    return folder


def create_run() -> str:
    """Create a run in the experiment "tests"; return its id."""
    client = MlflowClient(tracking_uri())
    experiment = client.get_experiment_by_name("tests")
    return str(client.create_run(experiment.experiment_id if experiment else client.create_experiment("tests")).info.run_id)


def register(name: str, file: Path, **tags: str) -> str:
    """Register a model like the step register_model, in a new run."""
    step_tags = {"kdflow.export_difference": "0", "kdflow.map": "0.5", "kdflow.map50": "0.5"}
    return Registry(name).register(file, create_run(), {**step_tags, **tags})
