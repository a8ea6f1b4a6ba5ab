"""A registered model as others use it: on pictures of every kind, without torch, over HTTP."""

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pytest
import torch
from PIL import Image

from components.register_model.packaging import open_model
from components.register_model.parity import difference
from kd.detection.decode import Detections
from kd.detector import Detector
from tests.components.packaged import CONFIDENCE, KINDS, made, pictures


def served() -> Any:
    return mlflow.pyfunc.load_model(str(made() / "package"))


def test_pictures_of_every_kind_have_the_same_boxes_as_the_detector() -> None:
    ours = Detector.load(made() / "model.safetensors", "cpu")(pictures(), 0.3, 0.5, 50)
    theirs = open_model(str(made() / "package"))(pictures(), 0.3, 0.5, 50)
    assert len(ours) == len(theirs) == len(KINDS) >= 20
    for path, (mode, _, (width, height)), mine, other in zip(pictures(), KINDS, ours, theirs, strict=True):
        shown = (height, width) if mode == "turned" else (width, height)
        assert max(difference(mine, other, max(shown), 0.3)) < 1e-4, path
        assert (other.boxes >= 0).all() and (other.boxes[:, 0::2] <= shown[0]).all() and (other.boxes[:, 1::2] <= shown[1]).all()
    assert min(len(found.labels) for found in ours) > 0 and len({tuple(found.labels.tolist()) for found in ours}) > 10


def test_bytes_arrays_and_base64_are_the_same_pictures() -> None:
    file = next(path for path in pictures() if path.suffix == ".bmp")
    content, array = file.read_bytes(), np.asarray(Image.open(file))
    forms = [content, base64.b64encode(content), base64.encodebytes(content), array]
    found = served().predict({"picture": forms})
    assert found[0] == found[1] == found[2] == found[3]
    [expected] = open_model(str(made() / "package"))([file], CONFIDENCE, 0.5, 50)
    assert found[0] == {
        "boxes": expected.boxes.tolist(),
        "scores": expected.scores.tolist(),
        "classes": [f"class {label}" for label in expected.labels],
    }


def test_the_caller_chooses_how_much_is_found() -> None:
    predict = served().predict
    one = {"picture": [pictures()[0].read_bytes()]}

    def scores(**params: float) -> list[float]:
        return list(predict(one, params=params)[0]["scores"])

    assert min(scores(confidence=0.01)) < CONFIDENCE < min(scores()) < 0.6 < min(scores(confidence=0.6))
    assert scores(most=2) == scores()[:2]
    assert len(scores(nms_iou=0.01)) < len(scores())


@pytest.mark.parametrize(
    ("picture", "problem"),
    [
        (b"no picture", "picture 1 cannot be decoded: it is no JPEG"),
        (b"", "picture 1 cannot be decoded: it is no JPEG"),
        (np.zeros((4, 4), np.float32), r"picture 1 cannot be decoded: is an array of float32 \[4, 4\]"),
        (["a.jpg"], "picture 1 cannot be decoded: it is a list"),
    ],
)
def test_what_is_no_picture_is_named(picture: Any, problem: str) -> None:
    with pytest.raises(mlflow.exceptions.MlflowException, match=problem):
        served().predict({"picture": [pictures()[0].read_bytes(), picture]})


def test_versions_keep_their_own_code(tmp_path: Path) -> None:
    shutil.copytree(made() / "package", tmp_path / "other")
    square = tmp_path / "other/artifacts/square.py"
    square.write_text(square.read_text().replace("GREY = 0.5", "GREY = 0.0"))
    first, second = open_model(str(made() / "package")), open_model(str(tmp_path / "other"))
    wide = pictures()[:1]
    assert first(wide)[0].scores.tolist() == open_model(str(made() / "package"))(wide)[0].scores.tolist()
    assert first(wide)[0].scores.tolist() != second(wide)[0].scores.tolist()


WITHOUT_TORCH = """
import json, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "kd", "components"}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocker())
import mlflow.pyfunc
content = open(sys.argv[2], "rb").read()
print(json.dumps(mlflow.pyfunc.load_model(sys.argv[1]).predict({"picture": [content]})))
"""


def test_it_runs_where_there_is_neither_torch_nor_kdflow(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", WITHOUT_TORCH, str(made() / "package"), str(pictures()[0])]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == served().predict({"picture": [pictures()[0].read_bytes()]})


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Callable[[Any], tuple[int, Any]]]:
    """`mlflow models serve` on the package; call it with the content of a request for the status and content of the answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    serve = ["serve", "--model-uri", str(made() / "package"), "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}

    def asked(content: Any) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/invocations", json.dumps(content), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", *serve],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait(server, port)
            yield asked
        finally:
            os.killpg(server.pid, 15)
            server.wait()


def _wait(server: "subprocess.Popen[bytes]", port: int) -> None:
    while server.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server has ended")


@pytest.mark.slow
def test_mlflows_server_answers_a_picture_sent_by_http(ask: Callable[[Any], tuple[int, Any]]) -> None:
    ours = Detector.load(made() / "model.safetensors", "cpu")(pictures(), CONFIDENCE, 0.5, 50)
    coded = [base64.b64encode(path.read_bytes()).decode() for path in pictures()]
    status, answer = ask({"inputs": coded})
    assert status == 200 and len(answer["predictions"]) == len(pictures())
    for mine, other in zip(ours, answer["predictions"], strict=True):
        labels = torch.tensor([int(name.removeprefix("class ")) for name in other["classes"]])
        theirs = Detections(torch.tensor(other["boxes"]), torch.tensor(other["scores"]), labels)
        assert max(difference(mine, theirs, int(mine.boxes.max()), CONFIDENCE)) < 1e-4
    first = answer["predictions"][:1]
    assert ask({"inputs": {"picture": coded[:1]}})[1]["predictions"] == first
    assert ask({"dataframe_split": {"columns": ["picture"], "data": [[coded[0]]]}})[1]["predictions"] == first
    assert len(ask({"inputs": coded[:1], "params": {"most": 1}})[1]["predictions"][0]["scores"]) == 1
    status, answer = ask({"inputs": ["bm8gcGljdHVyZQ=="]})
    assert status == 400 and "picture 0 cannot be decoded: it is no JPEG" in answer["message"]
