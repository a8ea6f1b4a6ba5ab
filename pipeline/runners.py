"""Run tasks on this machine: in subprocesses of this Python, or in containers of the image."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import components
import kd
from components.runtime.store import checkpoint_folder
from components.runtime.text import one_line
from kd.errors import InputError
from kd.files import digest, digest_json
from pipeline import launch

if TYPE_CHECKING:
    from kfp.local import DockerRunner, SubprocessRunner

PASSED_VARIABLES = ("AWS_", "DVC_", "GIT_", "KDFLOW_", "MLFLOW_", "OMP_", "http_proxy", "https_proxy", "no_proxy")
SHARED_MEMORY = "2g"


class Runner(NamedTuple):
    """A runner of `kfp.local`, the image of the tasks, and a digest of their code."""

    kfp_runner: "SubprocessRunner | DockerRunner"
    image: str
    code_digest: str


def subprocess_runner() -> Runner:
    """Run tasks in subprocesses of this Python, with the code in the working folder."""
    from kfp.local import SubprocessRunner

    packages = (Path(str(package.__file__)).parent for package in (kd, components))
    sources = [digest(source) for package in packages for source in sorted(package.rglob("*.py"))] + [digest(Path(launch.__file__))]
    return Runner(SubprocessRunner(use_venv=False), "kdflow", digest_json(sources))


def docker_runner(image: str, root: Path, mounted: list[Path], inputs: list[str]) -> Runner:
    """Run tasks in containers of `image`, as the image's user, on this machine's network.

    Args:
        image: name of the image.
        root: folder of the outputs; Kubeflow mounts it.
        mounted: folders to mount read-only at the same path.
        inputs: `data.path`, `data.unlabelled` and initial weights on this machine; mounted read-only at the same path in the
            container's working folder.

    Raises:
        InputError: if there is no Docker, no such image, or no MLflow server.
    """
    from docker.types import Mount
    from kfp.local import DockerRunner

    if not os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http"):
        problem = "is not the URL of a server, and containers cannot share a sqlite file"
        raise InputError("MLFLOW_TRACKING_URI", problem, "start `mlflow server`, and set the variable to its URL")
    details = _find_image(image)
    checkpoints = checkpoint_folder().resolve()
    for folder in (root, checkpoints):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # the image's user is a different one
    mounts = [Mount(str(checkpoints), str(checkpoints), "bind")]
    mounts += [Mount(str(folder.resolve()), str(folder.resolve()), "bind", read_only=True) for folder in mounted]
    home = Path(details.attrs["Config"]["WorkingDir"] or "/")
    mounts += [Mount(str(home / path), str(Path(path).resolve()), "bind", read_only=True) for path in inputs]
    environment = {name: value for name, value in os.environ.items() if name.startswith(PASSED_VARIABLES)}
    environment["KDFLOW_CHECKPOINTS"] = str(checkpoints)
    runner = DockerRunner(environment=environment, mounts=mounts, network_mode="host", shm_size=SHARED_MEMORY)
    return Runner(runner, image, details.id)


def _find_image(name: str) -> Any:
    import docker
    from docker.errors import DockerException, ImageNotFound

    try:
        client = docker.from_env()
        try:
            return client.images.get(name)
        except ImageNotFound:
            print(f"pull {name} ...")
            return client.images.pull(name)
    except DockerException as error:
        raise InputError("--image", f"'{name}' is not available ({one_line(error)})", "start Docker, and run `make image`") from None
