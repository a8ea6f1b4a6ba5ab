"""Release a pipeline: compile it, upload it as a version named after the git commit, and collect the arguments of its runs."""

import argparse
import io
import json
import subprocess
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from components.params.load import load_params
from kd.errors import InputError
from pipeline.cluster import load_cluster
from pipeline.compile import compile_spec
from pipeline.package import OPTIONS, Package, read_package

if TYPE_CHECKING:
    from pipeline.client import Client

PIPELINE = "kdflow"
"""The pipeline's name on the server."""
SERVER_HELP = """token: KF_PIPELINES_TOKEN, the command KF_PIPELINES_TOKEN_COMMAND, which prints one, or the file
KF_PIPELINES_SA_TOKEN_PATH; cookies of a login page: KF_PIPELINES_COOKIES; CA certificates: the file KF_PIPELINES_CA_BUNDLE"""


@dataclass(frozen=True)
class Release:
    """An uploaded version of the pipeline with the arguments of its runs: what is needed to start or schedule them.

    Args:
        pipeline_id, version_id: the server's ids of the uploaded pipeline and its version.
        version: the version's name.
        experiment_id: the experiment of the runs.
        arguments: the pipeline's arguments.
        service_account: the service account of the steps' pods; None for the server's default.
    """

    pipeline_id: str
    version_id: str
    version: str
    experiment_id: str
    arguments: dict[str, Any]
    service_account: str | None


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the connection to the server."""
    server = parser.add_argument_group("server", SERVER_HELP)
    server.add_argument("--host", metavar="URL", help="URL of KFP (default: KF_PIPELINES_ENDPOINT)")
    server.add_argument("--namespace", help="your namespace (default: the one in pipeline/cluster.yaml)")


def add_release_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for a release and for the server."""
    group = parser.add_argument_group("release")
    group.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: %(default)s)")
    group.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change one parameter, as in distill.weight=2")
    group.add_argument("--data-repo", metavar="REPO", help="git repository with the data")
    group.add_argument("--data-rev", metavar="REV", help="its commit, tag or branch")
    group.add_argument("--image", metavar="NAME@sha256:...", help="image of the steps (default: the one in pipeline/cluster.yaml)")
    help_text = "set another parameter of the pipeline, as in train_baseline=false"
    group.add_argument("--argument", action="append", default=[], metavar="NAME=VALUE", help=help_text)
    group.add_argument("--experiment", default=PIPELINE, metavar="NAME", help="experiment of the runs (default: %(default)s)")
    group.add_argument("--package", type=Path, metavar="FILE", help="compiled pipeline (default: compile it now)")
    group.add_argument("--version", metavar="NAME", help="name of the uploaded version (default: the git commit)")
    group.add_argument("--allow-dirty", action="store_true", help="release uncommitted changes; they are noted in the version's name")
    add_server_options(parser)


def make_release(options: argparse.Namespace) -> tuple["Client", Release]:
    """Validate the options, connect, and upload the pipeline and its version unless the server has them.

    It is idempotent: the same commit and arguments give the same release, also after an interruption.

    Raises:
        InputError: if a parameter is invalid, the working tree has changes, or the version exists with other content.
        ServerError: if a request fails.
    """
    cluster = load_cluster(image=options.image)
    with TemporaryDirectory() as folder:
        package = read_package(options.package or _compile(Path(folder)))
        arguments = package.arguments(load_params(options.params, options.set), _overrides(options))
        version = options.version or _version_name(package, options.allow_dirty)
        client = connect_to_server(options)
        pipeline_id = find_pipeline(client, package.name) or _create_pipeline(client, package.name)
        version_id = _find_version(client, pipeline_id, version, package) or _upload(client, pipeline_id, version, package)
    with hide_output():
        experiment = client.create_experiment(options.experiment, namespace=client.get_user_namespace())
    return client, Release(pipeline_id, version_id, version, experiment.experiment_id, arguments, cluster.service_account)


def connect_to_server(options: argparse.Namespace) -> "Client":
    """Connect to the server given by the options."""
    from pipeline.client import connect  # kfp takes a second to import

    cluster = load_cluster()
    return connect(options.host, options.namespace or cluster.namespace, cluster.ui)


def hide_output() -> redirect_stdout[io.StringIO]:
    """Print nothing within a `with` block, because kfp.Client prints URLs with passwords."""
    return redirect_stdout(io.StringIO())


def name_filter(name: str) -> str:
    """A filter for list requests: the display name is `name`."""
    return equals_filter("display_name", name)


def equals_filter(key: str, value: str) -> str:
    """A filter for list requests: `key` equals `value`."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "string_value": value}]})


def find_pipeline(client: "Client", name: str) -> str | None:
    """The id of the pipeline `name`, or None."""
    found = client.list_pipelines(filter=name_filter(name), namespace=client.get_user_namespace()).pipelines
    return found[0].pipeline_id if found else None


def _compile(folder: Path) -> Path:
    path = folder / "pipeline.yaml"
    compile_spec(path, load_cluster())  # the image is an argument, so the bytes depend only on the commit
    return path


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    overrides = {name: value for name in OPTIONS if (value := getattr(options, name)) is not None}
    for argument in options.argument:
        name, equals, value = argument.partition("=")
        if not equals:
            raise InputError("--argument", f"'{argument}' has no value", "write NAME=VALUE, as in train_baseline=false")
        if name in OPTIONS:
            raise InputError("--argument", f"'{name}' has an option of its own", f"write {OPTIONS[name]}")
        try:
            overrides[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError("--argument", f"the value of '{argument}' is not YAML", "write NAME=VALUE") from None
    return overrides


def _version_name(package: Package, allow_dirty: bool) -> str:
    commit = _git("rev-parse", "HEAD")[:12]
    if not _git("status", "--porcelain", "--untracked-files=no"):
        return commit
    if not allow_dirty:
        raise InputError("git", "the working tree has uncommitted changes", "commit them, or add --allow-dirty")
    return f"{commit}-dirty-{package.digest[:8]}"


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(("git", *arguments), capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        raise InputError("git", "finds no commit here", "run in the project's repository, or name the version with --version") from None


def _create_pipeline(client: "Client", name: str) -> str:
    from kfp_server_api import V2beta1Pipeline

    # kfp.Client cannot create a pipeline without a version, nor name that version
    pipeline = V2beta1Pipeline(display_name=name, name=name, namespace=client.get_user_namespace() or None)
    return str(client.pipelines.pipeline_service_create_pipeline(pipeline).pipeline_id)


def _find_version(client: "Client", pipeline_id: str, name: str, package: Package) -> str | None:
    found = client.list_pipeline_versions(pipeline_id, filter=name_filter(name)).pipeline_versions
    if not found:
        return None
    if found[0].description != _description(package):
        raise InputError("--version", f"'{name}' exists with other content", "commit your changes, or give another --version")
    return str(found[0].pipeline_version_id)


def _upload(client: "Client", pipeline_id: str, name: str, package: Package) -> str:
    with hide_output():
        uploaded = client.upload_pipeline_version(str(package.path), name, pipeline_id=pipeline_id, description=_description(package))
    return str(uploaded.pipeline_version_id)


def _description(package: Package) -> str:
    """The description of a version, which identifies its content."""
    return f"sha256 {package.digest}"
