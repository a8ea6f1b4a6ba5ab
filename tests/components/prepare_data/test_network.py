"""A fault of the network is told from a wrong address or refused credentials, and on a cluster it is outlasted."""

import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from components.prepare_data import data_source, network
from components.prepare_data.data_source import DataSource, fetch_data, resolve_source
from components.prepare_data.network import is_network_fault, retry_network_faults
from kd.errors import InputError
from tests.http_server import JsonHandler, serving_http

ATTEMPTS = len(network.DELAYS) + 1


@pytest.fixture(autouse=True)
def on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which take no time here."""
    pauses: list[float] = []
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    monkeypatch.setenv("KDFLOW_CLUSTER", "true")
    monkeypatch.setattr(network.time, "sleep", pauses.append)
    return pauses


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A git server that answers with the status in the path; its address, and the requests."""
    requests: list[str] = []

    class Handler(JsonHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_content(int(self.path.split("/")[1]), "")

    with serving_http(Handler) as url:
        yield url, requests


def fault(cause: Exception) -> InputError:
    try:
        raise InputError("data_repo", "cannot be read", "check the network") from cause
    except InputError as error:
        return error


@pytest.mark.parametrize(
    "cause, is_network",
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (ClientError({"ResponseMetadata": {"HTTPStatusCode": 503}}, "GetObject"), True),
        (ClientError({"ResponseMetadata": {"HTTPStatusCode": 403}}, "GetObject"), False),
        (PermissionError(), False),
        (FileNotFoundError(), False),
        (urllib.error.HTTPError("http://a", 404, "none", None, None), False),  # type: ignore[arg-type]
    ],
)
def test_what_is_a_fault_of_the_network(cause: Exception, is_network: bool) -> None:
    assert is_network_fault(fault(cause)) == is_network


@pytest.mark.parametrize("status, attempts", [(503, ATTEMPTS), (401, 1), (404, 1)])
def test_a_git_server_that_is_away_is_asked_again_and_one_that_refuses_is_not(
    status: int, attempts: int, server: tuple[str, list[str]], on_a_cluster: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    url, requests = server
    with pytest.raises(InputError, match=f"data_repo: {url}/{status}/x.git cannot be read"):
        resolve_source("data", f"{url}/{status}/x.git", "main")
    assert len(on_a_cluster) == attempts - 1 == capsys.readouterr().err.count("; retrying in")
    assert len(requests) >= attempts


@pytest.mark.parametrize("address", ["git://127.0.0.1:1/x.git", "http://127.0.0.1:1/x.git", "ssh://git@127.0.0.1:1/x.git"])
def test_a_refused_connection_is_tried_again(address: str, on_a_cluster: list[float]) -> None:
    with pytest.raises(InputError):
        resolve_source("data", address, "main")
    assert on_a_cluster == list(network.DELAYS)


def test_on_your_own_machine_it_fails_at_once(monkeypatch: pytest.MonkeyPatch, on_a_cluster: list[float]) -> None:
    monkeypatch.delenv("KDFLOW_CLUSTER")
    with pytest.raises(InputError):
        resolve_source("data", "git://127.0.0.1:1/x.git", "main")
    assert on_a_cluster == []


def test_a_fault_that_passes_is_forgotten() -> None:
    calls: list[int] = []

    @retry_network_faults
    def read(number: int) -> int:
        calls.append(number)
        if len(calls) < 3:
            raise fault(ConnectionResetError())
        return number

    assert read(7) == 7 and calls == [7, 7, 7]


def test_a_download_that_breaks_off_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[bool] = []

    class Remote:
        def __init__(self, repo: str, rev: str) -> None: ...

        def get(self, path: str, folder: str, recursive: bool) -> None:
            folders.append(Path(folder).exists())
            Path(folder).mkdir()
            raise ConnectionResetError("broken off")

    monkeypatch.setattr("dvc.api.DVCFileSystem", Remote)
    with pytest.raises(InputError, match="the remote cannot be read"), fetch_data(DataSource("data", "1.dir", "repo", "0123")):
        pass
    assert folders == [False] * ATTEMPTS
    assert data_source._download_problem(fault(ConnectionResetError()))[0].startswith("the remote cannot be read")
