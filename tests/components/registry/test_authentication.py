"""The registry on a server of MLflow with users, set up as in the manifests for the cluster."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from mlflow.server.auth.client import AuthServiceClient

from components.registry.commands import main
from tests.components.stub_models import register, write_data, write_model
from tests.servers import mlflow_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[3]
MANIFESTS = [*yaml.safe_load_all((ROOT / "pipeline/manifests/mlflow.yaml").read_text())]
PASSWORD = "a-long-password"


def manifest(kind: str) -> dict[str, dict[str, str]]:
    [found] = [content for content in MANIFESTS if content["kind"] == kind]
    return found


@pytest.fixture
def server_url(tmp_path: Path) -> Iterator[str]:
    [container] = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    [option] = [word for word in container["command"] if word.startswith("--app-name")]
    settings = manifest("ConfigMap")["data"]["basic_auth.ini"]
    database = next(line for line in settings.splitlines() if line.startswith("database_uri"))
    (tmp_path / "basic_auth.ini").write_text(settings.replace(database, f"database_uri = sqlite:///{tmp_path / 'users.db'}"))
    environment = {
        "MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "basic_auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "any text",
    }
    assert set(environment) <= {variable["name"] for variable in container["env"]}
    with mlflow_server(tmp_path / "server", environment=environment, options=[option]) as url:
        yield url


def test_readers_list_and_only_the_administrator_promotes(
    tmp_path: Path, server_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def log_in(user: str, password: str) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(["--model", "m", *arguments])
        return int(str(caught.value.code)), "".join(capsys.readouterr())

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server_url)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    write_data(Path("outputs/prepare_data"))
    log_in("kdflow", PASSWORD)
    for share in (0.5, 0.6):
        register("m", write_model(Path(f"{share}.onnx"), (share, share)))
    code, output = run("promote", "1", "--force", "--reason", "the first")
    assert code == 0, output
    AuthServiceClient(server_url).create_user("reader", "another-password")

    log_in("reader", "another-password")
    for command in (["list"], ["show", "1"], ["history"]):
        code, output = run(*command)
        assert code == 0 and "error" not in output, (command, output)
    code, output = run("promote", "2", "--force", "--reason", "mine is better")
    assert code == 2 and "Permission denied" in output and len(output.splitlines()) == 1
    log_in("reader", "a wrong password")
    code, output = run("list")
    assert code == 2 and "not authenticated" in output and len(output.splitlines()) == 1
    log_in("kdflow", PASSWORD)
    assert "mine is better" not in run("history")[1]
