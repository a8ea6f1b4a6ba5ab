"""What runs the tasks on this machine: processes of this Python, or containers of the image."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import components
import kd
from components.runtime.recorder import one_line
from components.shared.training import checkpoint_folder
from kd.errors import InputError
from kd.files import digest, digest_json
from pipeline import launch

if TYPE_CHECKING:
    from kfp.local import DockerRunner, SubprocessRunner

PASSED_ON = ("AWS_", "DVC_", "GIT_", "KDFLOW_", "MLFLOW_", "OMP_", "http_proxy", "https_proxy", "no_proxy")
SHARED_MEMORY = "2g"


class Runner(NamedTuple):
    """What starts a task, the image for it, and a digest of the code that it runs."""

    kfp: "SubprocessRunner | DockerRunner"
    image: str
    code: str


def processes() -> Runner:
    """Processes of this Python and of the code in the working folder."""
    from kfp.local import SubprocessRunner

    packages = (Path(str(package.__file__)).parent for package in (kd, components))
    sources = [digest(source) for package in packages for source in sorted(package.rglob("*.py"))] + [digest(Path(launch.__file__))]
    return Runner(SubprocessRunner(use_venv=False), "kdflow", digest_json(sources))


def containers(image: str, root: Path, shared: list[Path], data: str) -> Runner:
    """Containers of `image`, as the image's own user, on this machine's network.

    Args:
        image: name of the image.
        root: folder of the outputs; Kubeflow mounts it.
        shared: folders that a container may read, at the same place.
        data: `data.path` where it is a folder on this machine; a container finds it below its own working folder; or "".

    Raises:
        InputError: if there is no Docker, no such image, or no MLflow server that containers can share.
    """
    from docker.types import Mount
    from kfp.local import DockerRunner

    if not os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http"):
        problem = "names no server, and containers have no file with runs and models in common"
        raise InputError("MLFLOW_TRACKING_URI", problem, "start `mlflow server`, and set it to the address")
    found = _image(image)
    checkpoints = checkpoint_folder().resolve()
    for folder in (root, checkpoints):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # the image's user is another one than this
    mounts = [Mount(str(checkpoints), str(checkpoints), "bind")]
    mounts += [Mount(str(folder.resolve()), str(folder.resolve()), "bind", read_only=True) for folder in shared]
    if data:
        inside = Path(found.attrs["Config"]["WorkingDir"] or "/") / data
        mounts.append(Mount(str(inside), str(Path(data).resolve()), "bind", read_only=True))
    environment = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    environment["KDFLOW_CHECKPOINTS"] = str(checkpoints)
    runner = DockerRunner(environment=environment, mounts=mounts, network_mode="host", shm_size=SHARED_MEMORY)
    return Runner(runner, image, found.id)


def _image(name: str) -> Any:
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
        raise InputError("--image", f"'{name}' cannot be had ({one_line(error)})", "start Docker, and `make image`") from None
