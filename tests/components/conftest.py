"""Fixtures for the steps: parameters, a fake and a real MLflow run, and a small dataset that can be written in every layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import pytest
import yaml
from PIL import Image

from components.params.load import load_params
from components.params.models import Params
from components.prepare_data.step import prepare_data
from kd.files import atomic_folder

CLASSES = ["cat", "dog"]
# split -> file name without .jpg -> width, height and boxes (label, left, top, width, height)
Data = dict[str, dict[str, tuple[int, int, list[tuple[int, float, float, float, float]]]]]
PARAMS = Path(__file__).parents[2] / "params.yaml"
ENVIRONMENT_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "DVC_STAGE", "DVC_EXP_NAME", "KDFLOW_GIT_COMMIT")


class FakeRun:
    """Stores every call as (method, arguments)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def log_metrics(self, values: dict[str, float], step: int | None = None) -> None:
        self.calls.append(("metrics", (values,)))

    def log_dataset(self, name: str, source: str, digest: str, context: str, **known: str) -> None:
        self.calls.append(("dataset", (name, source, digest, context, *known.values())))

    def log_artifact(self, path: Path) -> None:
        assert path.is_file()
        self.calls.append(("artifact", (path.name,)))

    def set_tag(self, name: str, value: str) -> None:
        self.calls.append(("tag", (name, value)))

    def of(self, method: str) -> list[tuple[Any, ...]]:
        return [arguments for name, arguments in self.calls if name == method]


@pytest.fixture
def run() -> FakeRun:
    return FakeRun()


@pytest.fixture
def params_with() -> Callable[..., Params]:
    """The committed parameters with changes, written like `data.val=0`."""
    return lambda *changes: load_params(PARAMS, changes)


@pytest.fixture
def settings(params_with: Callable[..., Params]) -> Params:
    """The committed parameters."""
    return params_with()


@pytest.fixture
def execution_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new working folder with an empty MLflow store, and an execution named "one"."""
    from tests.components.stores import new_store  # imported here, because MLflow takes seconds to import

    for name in ENVIRONMENT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("KDFLOW_EXECUTION", "one")
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)


@pytest.fixture
def prepare(run: FakeRun, tmp_path: Path, params_with: Callable[..., Params]) -> Callable[..., Path]:
    """Run `prepare_data` on a folder; return the output folder."""

    def prepared(folder: Path, *changes: str, output: str = "prepared") -> Path:
        target = tmp_path / "out" / output
        with atomic_folder(target) as temporary:
            prepare_data(params_with(f"data.path={folder}", *changes), run, output=temporary)  # type: ignore[arg-type]
        return target

    return prepared


@pytest.fixture
def data() -> Data:
    """Three splits with boxes that VOC's integers and YOLO's fractions represent exactly."""
    return {
        "train": {
            "a": (40, 20, [(0, 0, 0, 10, 5), (1, 20, 10, 20, 10)]),
            "b": (32, 64, [(1, 4, 8, 16, 32)]),
            "c": (32, 32, []),
            "d": (64, 32, [(0, 8, 8, 24, 16)]),
        },
        "val": {"e": (40, 40, [(0, 5, 5, 20, 30)])},
        "test": {"f": (48, 32, [(1, 12, 8, 24, 16)]), "g": (32, 32, [(0, 2, 2, 8, 8)])},
    }


def save_picture(path: Path, width: int, height: int) -> None:
    """Save a noise picture; the noise depends only on the file name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.stem.encode()))
    Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path, quality=90)


def coco_json(pictures: dict[str, Any]) -> dict[str, Any]:
    images, annotations = [], []
    for image_id, (name, (width, height, boxes)) in enumerate(pictures.items(), 7):
        images.append({"id": image_id, "file_name": f"{name}.jpg", "width": width, "height": height})
        for label, *bbox in boxes:
            annotations.append({"id": len(annotations), "image_id": image_id, "category_id": label * 5 + 3, "bbox": bbox})
    return {"images": images, "annotations": annotations, "categories": [{"id": i * 5 + 3, "name": name} for i, name in enumerate(CLASSES)]}


def write_coco(folder: Path, data: Data) -> Path:
    for split, pictures in data.items():
        for name, (width, height, _) in pictures.items():
            save_picture(folder / split / "images" / f"{name}.jpg", width, height)
        (folder / split / "annotations.json").write_text(json.dumps(coco_json(pictures)))
    return folder


def write_voc(folder: Path, data: Data) -> Path:
    for split, pictures in data.items():
        for name, (width, height, boxes) in pictures.items():
            save_picture(folder / "JPEGImages" / f"{name}.jpg", width, height)
            (folder / "Annotations").mkdir(exist_ok=True)
            (folder / "Annotations" / f"{name}.xml").write_text(_voc_xml(f"{name}.jpg", width, height, boxes))
        split_list = folder / "ImageSets" / "Main" / f"{split}.txt"
        split_list.parent.mkdir(parents=True, exist_ok=True)
        split_list.write_text("".join(f"{name}\n" for name in pictures))
    return folder


def _voc_xml(name: str, width: int, height: int, boxes: list[tuple[int, float, float, float, float]]) -> str:
    objects = "".join(
        f"<object><name>{CLASSES[label]}</name><difficult>0</difficult><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>"
        f"<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>\n"
        for label, x, y, w, h in boxes
    )
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation><filename>{escape(name)}</filename>\n{size}\n{objects}</annotation>"


def write_yolo(folder: Path, data: Data) -> Path:
    for split, pictures in data.items():
        for name, (width, height, boxes) in pictures.items():
            save_picture(folder / "images" / split / f"{name}.jpg", width, height)
            lines = [f"{i} {(x + w / 2) / width} {(y + h / 2) / height} {w / width} {h / height}\n" for i, x, y, w, h in boxes]
            labels = folder / "labels" / split / f"{name}.txt"
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("".join(lines))
    content = {"path": "/folder/on/another/machine", "names": dict(enumerate(CLASSES)), **{split: f"images/{split}" for split in data}}
    (folder / "data.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture
def writers(tmp_path: Path) -> dict[str, Callable[[Data], Path]]:
    """For each layout, a function that writes data in this layout and returns the folder."""
    functions = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}
    return {name: lambda data, name=name, function=function: function(tmp_path / name, data) for name, function in functions.items()}


@pytest.fixture
def write_picture() -> Callable[[Path, int, int], None]:
    """Write a picture with a width and height."""
    return save_picture


@pytest.fixture
def edit_json() -> Callable[[Path, Callable[[Any], Any]], None]:
    """Change the content of a JSON file."""

    def edit(file: Path, change: Callable[[Any], Any]) -> None:
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))

    return edit


@pytest.fixture
def registry_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command `kdflow registry`; gives its output."""
    from components.registry.commands import main

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        output = "".join(capsys.readouterr())
        assert caught.value.code == code, output
        return output

    return run
