"""The files of a registered version: copied, compared with the digests in its tags, and read."""

from pathlib import Path
from tempfile import TemporaryDirectory

from components.register_model.integrity import VerifiedCopy, check_preprocessing, refuse_links, verify_copy
from components.register_model.registry import MODEL, REFERENCE_FILE, Registry, Version
from kd.errors import InputError


def download_files(registry: Registry, number: str, folder: Path) -> Path:
    """Copy the files of a version into the empty `folder`. Only `download_verified` and `read_onnx` compare them with the digests.

    Returns:
        The path of the model in it.

    Raises:
        ChangedFiles: if the store is a folder of this machine and has a symbolic link in its place.
    """
    import mlflow.artifacts
    from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository
    from mlflow.utils.file_utils import local_file_uri_to_path
    from mlflow.utils.uri import is_local_uri

    with registry.wrap_errors():
        uri = registry.client.get_model_version_download_uri(registry.name, number)
        is_of_run = RunsArtifactRepository.is_runs_uri(uri)
        location = RunsArtifactRepository.get_underlying_uri(uri, registry.uri) if is_of_run else uri
        if is_local_uri(location):
            refuse_links(f"{registry.name} version {number}", Path(local_file_uri_to_path(location)))
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder), tracking_uri=registry.uri, registry_uri=registry.uri))


def download_verified(registry: Registry, version: Version, folder: Path) -> VerifiedCopy:
    """Copy the files of a version into the empty `folder` and compare them with the recorded digests.

    Raises:
        ChangedFiles: if they differ, no digests are recorded, or the signature of the digests is missing or wrong.
    """
    name = f"{registry.name} version {version.number}"
    registry.check_signature(name, version.tags)
    return verify_copy(name, download_files(registry, version.number, folder), version.tags)


def read_onnx(registry: Registry, version: Version) -> bytes:
    """The content of the ONNX file of a version, after all files of the version were verified.

    Raises:
        ChangedFiles: if a file differs from the registered one, or no digests are recorded.
        InputError: if the model needs another preprocessing than the installed one.
    """
    with TemporaryDirectory() as folder:
        network = download_verified(registry, version, Path(folder)).network()
    check_preprocessing(f"{registry.name} version {version.number}", version.tags)
    return network


def read_safetensors(registry: Registry, version: Version) -> bytes:
    """The content of the model.safetensors of a version, after all files of the version were verified.

    Raises:
        ChangedFiles: if a file differs from the registered one, or no digests are recorded.
        InputError: if there is none, because an older release registered the version.
    """
    return _read_file(registry, version, MODEL, "train and register it again, or set init to a file")


def read_monitoring_reference(registry: Registry, version: Version) -> bytes:
    """The content of the monitoring reference of a version, after all files of the version were verified.

    Raises:
        ChangedFiles: if a file differs from the registered one, or no digests are recorded.
        InputError: if there is none, because an older release registered the version.
    """
    return _read_file(registry, version, REFERENCE_FILE, "add --data with the prepared data, to compute it from the test pictures")


def _read_file(registry: Registry, version: Version, file: str, remedy: str) -> bytes:
    with TemporaryDirectory() as folder:
        copy = download_verified(registry, version, Path(folder))
        if file not in copy.digests:
            raise InputError(copy.name, f"has no {file}, because an older release registered it", remedy)
        return copy.read(file)
