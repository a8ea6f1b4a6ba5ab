"""A registry of the former release works with this one: its packages, its journal and its tags. See frozen/README.md."""

import base64
import io
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from components.register_model.journal import Journal
from components.register_model.packaging import open_model
from components.register_model.registry import Registry
from components.registry.commands import main
from components.runtime.store import tracking_uri
from kd.errors import InputError
from kd.files import digest
from tests.components.serving import serve
from tests.components.stores import new_store
from tests.components.stub_models import write_data

ROOT = Path(__file__).parents[3]
FROZEN = Path(__file__).parent / "frozen"
CHAMPION = "models:/kdflow-student@champion"
PICTURES = [np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8) for seed in range(2)]
PARAMS = {"confidence": 0.25, "nms_iou": 0.5, "most": 5}
Command = Callable[..., str]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with the registry of the former release, parameters and prepared data."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KDFLOW_USER", "Grace")
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)
    with closing(sqlite3.connect("mlflow.db")) as store:
        store.executescript((FROZEN / "store.sql").read_text().replace("__ROOT__", str(tmp_path)))
    shutil.copytree(FROZEN / "mlruns", "mlruns")
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    write_data(Path("outputs/prepare_data"))


@pytest.fixture
def registry(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command `kdflow registry`; gives its output."""

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(arguments, "kdflow registry")
        output = "".join(capsys.readouterr())
        assert caught.value.code == code, output
        return output

    return run


@pytest.fixture
def sealed(registry: Command) -> None:
    """The digests of both versions are recorded."""
    for version in ("1", "2"):
        registry("seal", version, "--reason", "compared with the backup")


def expected(version: str, picture: int) -> dict[str, NDArray[Any]]:
    """The detections of the former release."""
    detections = json.loads((FROZEN / "detections.json").read_text())
    return {name: np.array(values) for name, values in detections[version][picture].items()}


def assert_champion_is(version: str) -> None:
    assert Registry("kdflow-student").aliases()["champion"] == version
    for picture, detections in enumerate(open_model(CHAMPION)(PICTURES, 0.25, 0.5, 5)):
        for name, values in expected(version, picture).items():
            np.testing.assert_allclose(getattr(detections, name), values, rtol=1e-4, atol=1e-3)


def test_a_version_without_digests_is_refused_until_it_is_sealed(registry: Command) -> None:
    remedy = "has no digests of its files, because an older release registered it; `kdflow registry seal 2 --reason TEXT` records them"
    for command in (("compare", "champion", "2"), ("promote", "1"), ("copy", "2", "--to", "production"), ("rollback",)):
        assert remedy.replace("seal 2", "seal 1" if command[0] == "rollback" else "seal 2") in registry(*command, code=2)
    with pytest.raises(InputError, match="2: has no digests of its files"):
        open_model(CHAMPION)
    assert remedy in registry("verify", code=1)
    [network] = Path("mlruns").glob("1/1*/artifacts/model/artifacts/student.onnx")
    content = network.read_bytes()
    network.write_bytes(content[:-1])
    assert f"SHA-256 {digest(network)}; registered: b9ace62f" in registry("seal", "1", "--reason", "looks right", code=2)
    network.write_bytes(content)
    assert "version 1: recorded the digests of 9 files" in registry("seal", "1", "--reason", "compared with the backup")
    registry("seal", "2", "--reason", "compared with the backup")
    assert "version 1: 9 files are the registered ones" in registry("verify", "--all")
    assert "Grace: compared with the backup" in registry("show", "1")
    assert "has digests already" in registry("seal", "1", "--reason", "again", code=2)
    assert_champion_is("2")


def test_mlflow_predicts_the_same_detections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri())
    assert_same_as_recorded(mlflow.pyfunc.load_model(CHAMPION).predict({"picture": PICTURES}, params=PARAMS))


@pytest.mark.slow
def test_mlflow_serves_the_same_detections_over_http(tmp_path: Path) -> None:
    encoded = [base64.b64encode(png(picture)).decode() for picture in PICTURES]
    [package] = Path("mlruns").glob("1/2*/artifacts/model")
    with serve(package.resolve(), tmp_path) as server:
        post = server.post
        status, content = post({"inputs": encoded, "params": PARAMS})
    assert status == 200
    assert_same_as_recorded(content["predictions"])


def png(picture: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def assert_same_as_recorded(predictions: list[dict[str, Any]]) -> None:
    assert len(predictions) == len(PICTURES)
    for picture, prediction in enumerate(predictions):
        detections = expected("2", picture)
        np.testing.assert_allclose(prediction["boxes"], detections["boxes"], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(prediction["scores"], detections["scores"], rtol=1e-4)
        assert prediction["classes"] == [("cat", "dog")[label] for label in detections["labels"]]


@pytest.mark.usefixtures("sealed")
def test_the_commands_show_it_and_change_nothing(registry: Command) -> None:
    assert "@champion" in registry("list") and "8a01db48" in registry("list")
    shown = registry("show", "champion")
    assert "taken_back" in shown and "Ada took it back (misses bicycles)" in shown, "the rule had another name then"
    assert "run of register_model" in shown and "8a01db489615ffb41286e420d6bd0de97cf0c928" in shown
    history = [line for line in registry("history").splitlines() if "Ada" in line]
    moves = [[cell.strip() for cell in line.split("│")[2:6]] for line in history]
    assert moves == [
        ["register", "@challenger", "", "1"],
        ["promote", "@champion", "", "1"],
        ["register", "@challenger", "", "2"],
        ["force", "@champion", "1", "2"],
        ["rollback", "@champion", "2", "1"],
        ["force", "@champion", "1", "2"],
    ]
    table = registry("compare", "1", "champion")
    assert "version 1" in table and "version 2" in table and "AP50 of cat" in table
    assert Registry("kdflow-student").aliases() == {"challenger": "2", "champion": "2"}
    assert len(Journal(Registry("kdflow-student")).entries()) == 6


@pytest.mark.usefixtures("sealed")
def test_it_can_be_rolled_back_and_promoted_again(registry: Command) -> None:
    assert "the champion is version 1" in registry("rollback", "--reason", "too slow")
    assert_champion_is("1")
    registry("rollback", code=2)
    assert "rolled_back" in registry("promote", "2", code=1), "a rolled back version does not pass the gate"
    assert "version 2 is the champion" in registry("promote", "2", "--force", "--reason", "fast enough")
    assert_champion_is("2")
    entries = Journal(Registry("kdflow-student")).entries()
    assert [(e.action, e.previous, e.version, e.who, e.why) for e in entries[6:]] == [
        ("rollback", "2", "1", "Grace", "too slow"),
        ("force", "1", "2", "Grace", "fast enough"),
    ]
    assert "Grace rolled it back (too slow)" in registry("show", "2")


@pytest.mark.usefixtures("sealed")
def test_a_version_can_be_copied(registry: Command) -> None:
    registry("copy", "champion", "--to", "production")
    copied = registry("--model", "production", "show", "1")
    assert "models:/kdflow-student/2" in copied
    for picture, detections in enumerate(open_model("models:/production/1")(PICTURES, 0.25, 0.5, 5)):
        np.testing.assert_allclose(detections.boxes, expected("2", picture)["boxes"], rtol=1e-4, atol=1e-3)
