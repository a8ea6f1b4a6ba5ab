"""The first step fails for what would fail the last one, with the server's own words, and outlasts a server that is away."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from components.params.load import load_params
from components.params.models import Params
from components.prepare_data.data_source import DataSource
from components.runtime.store import tracking_uri
from kd.errors import InputError
from kd.files import digest
from pipeline import preflight
from pipeline.preflight import open_pipeline
from pipeline.recorded_source import recorded_source
from tests.components.stores import new_store, records
from tests.http_server import JsonHandler, serving_http

ROOT = Path(__file__).parents[2]
MODEL = "kdflow-student"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty store, and data in a folder."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in preflight.HTTP_SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KDFLOW_EXECUTION", "one")
    monkeypatch.setattr(preflight, "PAUSE", 0.0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    new_store(tmp_path)


@contextmanager
def refusing(status: int, text: str) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every request like this; its address, and the requests."""
    requests: list[str] = []

    class Handler(JsonHandler):
        def answer(self) -> None:
            requests.append(self.path)
            self.send_content(status, text)

        do_GET = do_POST = answer

    with serving_http(Handler) as url:
        yield url, requests


def parameters(*changes: str) -> Params:
    return load_params(ROOT / "params.yaml", [f"register_model.name={MODEL}", "data.path=mine", *changes])


def test_the_last_step_can_register_afterwards() -> None:
    assert open_pipeline(parameters(), "", "") == (digest(Path("mine")), "", "")
    assert open_pipeline(parameters(), "", "") == (digest(Path("mine")), "", ""), "a second attempt"
    assert set(records()) == {"one"}
    assert MlflowClient(tracking_uri()).get_registered_model(MODEL).tags == {"kdflow.execution": "one"}


def test_the_parent_run_says_which_data_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that are cached know another revision; a later step of this execution reads the data from here."""
    source = DataSource("mine", "version", "https://example.org/data", "0123abc")
    monkeypatch.setattr(preflight, "resolve_source", lambda path, repo, rev: source)
    monkeypatch.setattr(preflight, "check_remote", lambda source: None)
    open_pipeline(parameters(), source.repo, "main")
    tags = records()["one"].data.tags
    assert [tags[f"kdflow.data_{name}"] for name in ("repo", "commit", "rev")] == [source.repo, source.commit, "main"]
    assert recorded_source() == (source.repo, source.commit)


def test_an_address_with_a_password_is_recorded_nowhere() -> None:
    with pytest.raises(InputError, match=r"data_repo: https://\*\*\*@example.org contains a password") as error:
        open_pipeline(parameters(), "https://me:secret@example.org", "main")
    assert "secret" not in str(error.value) and not MlflowClient(tracking_uri()).search_experiments(filter_string="name = 'kdflow'")


@pytest.mark.parametrize(
    "status, text",
    [(403, "Invalid Host header - possible DNS rebinding attack detected"), (403, "Permission denied"), (401, "You are not authenticated")],
)
def test_a_server_that_refuses_is_asked_once(status: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing(status, text) as (url, requests):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        with pytest.raises(InputError) as error:
            open_pipeline(parameters(), "", "")
    assert text in str(error.value) and "\n" not in str(error.value) and len(requests) == 1
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in str(error.value)


@pytest.mark.parametrize("refused", ["log_text", "create_registered_model", "set_registered_model_tag"])
def test_a_missing_permission_for_the_last_step_is_found(refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise MlflowException("Permission denied by the team", error_code=7)  # PERMISSION_DENIED

    monkeypatch.setattr(MlflowClient, refused, refuse)
    with pytest.raises(InputError, match="Permission denied by the team"):
        open_pipeline(parameters(), "", "")


def test_a_server_that_is_away_is_asked_again_for_a_while(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with refusing(503, "starting") as (url, requests):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        monkeypatch.setattr(preflight, "WINDOW", 1.0)
        with pytest.raises(InputError, match="503"):
            open_pipeline(parameters(), "", "")
    assert len(requests) > 1 and "; retrying" in capsys.readouterr().err


def test_data_that_cannot_be_read_end_the_parent_run() -> None:
    with pytest.raises(InputError, match="nowhere"):
        open_pipeline(parameters("data.path=nowhere"), "", "")
    assert records()["one"].info.status == "FAILED"


def test_missing_weights_are_found_before_anything_runs() -> None:
    with pytest.raises(InputError, match=r"none\.weights: is missing"):
        open_pipeline(parameters("student.init=none.weights"), "", "")
    assert records()["one"].info.status == "FAILED"


def test_pictures_without_labels_are_part_of_the_datas_version() -> None:
    Path("more").mkdir()
    Path("more/a.png").write_bytes(b"a")
    version, *_ = open_pipeline(parameters("data.unlabelled=more"), "", "")
    assert version == f"{digest(Path('mine'))} {digest(Path('more'))}"
    with pytest.raises(InputError, match=r"data\.unlabelled: 'none' is missing"):
        open_pipeline(parameters("data.unlabelled=none"), "", "")
