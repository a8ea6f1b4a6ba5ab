"""A registered model on pictures of every kind, without torch, and over HTTP."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from components.prepare_data.inspection import inspect_picture
from components.register_model.packaging import open_model
from components.register_model.parity import difference
from kd.data import letterbox
from kd.detection.decode import Detections
from kd.detector import Detector
from kd.errors import InputError
from tests.components.packaged import CONFIDENCE, PICTURE_KINDS, model_folder, picture_files
from tests.components.serving import serve


def load_package() -> Any:
    return mlflow.pyfunc.load_model(str(model_folder() / "package"))


def test_detections_in_pictures_of_every_kind_equal_those_of_the_detector() -> None:
    ours = Detector.load(model_folder() / "model.safetensors", "cpu")(picture_files(), 0.3, 0.5, 50)
    theirs = open_model(str(model_folder() / "package"))(picture_files(), 0.3, 0.5, 50)
    assert len(ours) == len(theirs) == len(PICTURE_KINDS) >= 20
    for path, (mode, _, (width, height)), mine, other in zip(picture_files(), PICTURE_KINDS, ours, theirs, strict=True):
        shown = (height, width) if mode == "rotated" else (width, height)
        assert max(difference(mine, other, max(shown), 0.3)) < 1e-4, path
        assert (other.boxes >= 0).all() and (other.boxes[:, 0::2] <= shown[0]).all() and (other.boxes[:, 1::2] <= shown[1]).all()
    assert min(len(found.labels) for found in ours) > 0 and len({tuple(found.labels.tolist()) for found in ours}) > 10


def test_bytes_arrays_and_base64_give_the_same_detections() -> None:
    file = next(path for path in picture_files() if path.suffix == ".bmp")
    content, array = file.read_bytes(), np.asarray(Image.open(file))
    forms = [content, base64.b64encode(content), base64.encodebytes(content), array]
    found = load_package().predict({"picture": forms})
    assert found[0] == found[1] == found[2] == found[3]
    [expected] = open_model(str(model_folder() / "package"))([file], CONFIDENCE, 0.5, 50)
    assert found[0] == {
        "boxes": expected.boxes.tolist(),
        "scores": expected.scores.tolist(),
        "classes": [f"class {label}" for label in expected.labels],
    }


def test_params_change_the_number_of_detections() -> None:
    predict = load_package().predict
    one = {"picture": [picture_files()[0].read_bytes()]}

    def scores(**params: float) -> list[float]:
        return list(predict(one, params=params)[0]["scores"])

    assert min(scores(confidence=0.01)) < CONFIDENCE < min(scores()) < 0.6 < min(scores(confidence=0.6))
    assert scores(most=2) == scores()[:2]
    assert len(scores(nms_iou=0.01)) < len(scores())


@pytest.mark.parametrize(
    ("picture", "problem"),
    [
        (b"no picture", "picture 1 cannot be decoded: it is not a picture of a known format"),
        (b"", "picture 1 cannot be decoded: it is not a picture of a known format"),
        (np.zeros((4, 4), np.float32), r"picture 1 cannot be decoded: it is an array of float32 \[4, 4\]"),
        (["a.jpg"], "picture 1 cannot be decoded: it is a list"),
    ],
)
def test_a_value_that_is_not_a_picture_is_named(picture: Any, problem: str) -> None:
    with pytest.raises(mlflow.exceptions.MlflowException, match=problem):
        load_package().predict({"picture": [picture_files()[0].read_bytes(), picture]})


def test_two_versions_with_different_code_can_be_open_at_once(tmp_path: Path) -> None:
    shutil.copytree(model_folder() / "package", tmp_path / "other")
    letterbox = tmp_path / "other/artifacts/letterbox.py"
    letterbox.write_text(letterbox.read_text().replace("GREY = 0.5", "GREY = 0.0"))
    first, second = load_package(), mlflow.pyfunc.load_model(str(tmp_path / "other"))
    wide = {"picture": [picture_files()[0].read_bytes()]}
    assert first.predict(wide) == load_package().predict(wide)
    assert first.predict(wide) != second.predict(wide)


RESTRICTED = """
import json, sys
blocked = set(json.loads(sys.argv[3]))
class Restricted:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):  # such as find_distributions, for the metadata of packages
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in blocked else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Restricted(finder) for finder in sys.meta_path]
import mlflow.pyfunc, mlflow.pyfunc.scoring_server, uvicorn
content = open(sys.argv[2], "rb").read()
model = mlflow.pyfunc.load_model(sys.argv[1])
mlflow.pyfunc.scoring_server.init(model)
print(json.dumps(model.predict({"picture": [content]})))
"""


def with_dependencies(names: Iterable[str]) -> set[str]:
    """The distributions `names`, and all that they need here."""
    found: set[str] = set()
    left = [canonicalize_name(name) for name in names]
    while left:
        if (name := left.pop()) not in found:
            found.add(name)
            requirements = map(Requirement, metadata.requires(name) or [])
            needed = (one for one in requirements if not one.marker or one.marker.evaluate({"extra": ""}))
            left += [canonicalize_name(one.name) for one in needed]
    return found


def test_the_package_is_served_with_its_requirements_only(tmp_path: Path) -> None:
    lines = (model_folder() / "package/requirements.txt").read_text().split()
    allowed = with_dependencies(Requirement(line).name for line in lines)
    blocked = [module for module, owners in metadata.packages_distributions().items() if not allowed & set(map(canonicalize_name, owners))]
    assert {"torch", "sqlalchemy", "sklearn", "flask"} < set(blocked)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    blocked_here = json.dumps([*blocked, "kd", "components"])
    command = [sys.executable, "-c", RESTRICTED, str(model_folder() / "package"), str(picture_files()[0]), blocked_here]
    completed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout) == load_package().predict({"picture": [picture_files()[0].read_bytes()]})


MEMORY = """
import sys
import mlflow.pyfunc
contents = [open(file, "rb").read() for file in sys.argv[2:]]
pictures = [contents[i % len(contents)] for i in range(16)]
found = mlflow.pyfunc.load_model(sys.argv[1]).predict({"picture": pictures})
peak = open("/proc/self/status").read().split("VmHWM:")[1].split()[0]  # ru_maxrss includes the process that started this one
print(len(found), int(peak) // 1024)
"""


@pytest.mark.slow
def test_sixteen_of_the_largest_pictures_take_less_than_a_gigabyte(tmp_path: Path) -> None:
    for mode in ("RGB", "RGBA", "P"):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new(mode, (8000, 1000 * letterbox.MAX_MEGAPIXELS // 8)).save(tmp_path / f"{mode}.png", compress_level=1, exif=exif)
    command = [sys.executable, "-c", MEMORY, str(model_folder() / "package"), *map(str, tmp_path.glob("*.png"))]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    count, megabytes = map(int, completed.stdout.split())
    assert count == 16 and megabytes < 1000


def test_a_picture_above_the_pixel_limit_is_refused(tmp_path: Path) -> None:
    for width in (8001, 30_000):  # Pillow itself refuses the second one
        Image.new("1", (width, 8000)).save(tmp_path / "large.png")
        problem = "it has more than 64 megapixels, the largest size"
        with pytest.raises(mlflow.exceptions.MlflowException, match=f"picture 0 cannot be decoded: {problem}"):
            load_package().predict({"picture": [(tmp_path / "large.png").read_bytes()]})
        for detector in (Detector.load(model_folder() / "model.safetensors", "cpu"), open_model(str(model_folder() / "package"))):
            with pytest.raises(InputError, match=rf"large\.png.*{problem}"):
                detector([tmp_path / "large.png"])
        assert problem in inspect_picture(tmp_path / "large.png").error


@pytest.mark.slow
def test_mlflow_serves_the_package_over_http(tmp_path: Path) -> None:
    ours = Detector.load(model_folder() / "model.safetensors", "cpu")(picture_files(), CONFIDENCE, 0.5, 50)
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in picture_files()]
    with serve(model_folder() / "package", tmp_path) as server:
        post = server.post
        status, response = post({"inputs": encoded})
        assert status == 200 and len(response["predictions"]) == len(picture_files())
        for mine, other in zip(ours, response["predictions"], strict=True):
            labels = torch.tensor([int(name.removeprefix("class ")) for name in other["classes"]])
            theirs = Detections(torch.tensor(other["boxes"]), torch.tensor(other["scores"]), labels)
            assert max(difference(mine, theirs, int(mine.boxes.max()), CONFIDENCE)) < 1e-4
        first = response["predictions"][:1]
        assert post({"inputs": {"picture": encoded[:1]}})[1]["predictions"] == first
        assert post({"dataframe_split": {"columns": ["picture"], "data": [[encoded[0]]]}})[1]["predictions"] == first
        assert len(post({"inputs": encoded[:1], "params": {"most": 1}})[1]["predictions"][0]["scores"]) == 1
        status, response = post({"inputs": ["bm8gcGljdHVyZQ=="]})
        assert status == 400 and "picture 0 cannot be decoded: it is not a picture of a known format" in response["message"]
