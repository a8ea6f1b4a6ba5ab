"""The versions of a registered model in MLflow. A version is identified by its content, the SHA-256 of its ONNX file.

Unlike in tracking, an error of the store fails the step, because a model that is not registered cannot be used.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from components.register_model.integrity import (
    FILES_TAG,
    PREPROCESSING,
    PREPROCESSING_TAG,
    file_digests,
)
from components.register_model.mlflow_model import package
from components.register_model.signing import check_signature, sign
from components.runtime.store import import_mlflow, tracking_uri
from components.runtime.text import mask_passwords, one_line, quote_filter
from kd.errors import InputError
from kd.files import digest

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CONTENT_TAG = "kdflow.content"
MODEL = "model.safetensors"
"""A file of a version: what the ONNX file was exported from."""
REFERENCE_FILE = "monitoring_reference.json"
"""A file of a version: what `kdflow monitor` compares a log with."""
SBOM_FILE = "sbom.cdx.json"
"""A file of a version: the packages that it was made with."""


class Version(NamedTuple):
    """A registered version; `created` in milliseconds since 1970, UTC."""

    number: str
    created: int
    run_id: str
    tags: dict[str, str]
    aliases: list[str]


class Registry:
    """The versions of the registered model `name` in the store at `uri`. Every error of the store is raised as an `InputError`.

    With a `public_key`, see `register_model.public_key`, only versions that are signed with its private key are registered and read.
    """

    def __init__(self, name: str, uri: str | None = None, public_key: str = "") -> None:
        self.name, self.uri, self.public_key = name, uri or tracking_uri(), public_key
        import_mlflow()
        with self.wrap_errors():
            from mlflow import MlflowClient

            self.client = MlflowClient(self.uri)

    def create_model(self, name: str, description: str = "") -> None:
        """Create the registered model `name` unless it exists."""
        with self.wrap_errors(ignore="RESOURCE_ALREADY_EXISTS"):
            self.client.create_registered_model(name, description=description or None)

    def versions(self, content: str | None = None) -> list[Version]:
        """All versions, or those with this content, by ascending number. Empty if the registered model does not exist."""
        aliases = self.aliases()  # a search does not return them
        return [_read_version(version, aliases) for version in self.search(self.name, {CONTENT_TAG: content} if content else {})]

    def aliases(self) -> dict[str, str]:
        """Version numbers by alias. Empty if the registered model does not exist."""
        aliases: Mapping[str, str] = {}
        with self.wrap_errors(ignore="RESOURCE_DOES_NOT_EXIST"):
            aliases = self.client.get_registered_model(self.name).aliases
        return {alias: str(number) for alias, number in aliases.items()}

    def search(self, name: str, tags: Mapping[str, str]) -> list["ModelVersion"]:
        """The versions of the registered model `name` that have all `tags`, by ascending number."""
        query = " and ".join([f"name = {quote_filter(name)}", *(f"tags.`{key}` = {quote_filter(value)}" for key, value in tags.items())])
        versions: list[ModelVersion] = []
        token = None
        with self.wrap_errors():
            while True:
                page = self.client.search_model_versions(query, page_token=token)
                versions += page
                token = page.token
                if not token:
                    return sorted(versions, key=lambda version: int(version.version))

    def version(self, name: str) -> Version:
        """The version with a number, such as "3", or an alias, such as "champion" or "@champion".

        Raises:
            InputError: if it does not exist.
        """
        versions = self.versions()
        for version in versions:
            if name == version.number or name.removeprefix("@") in version.aliases:
                return version
        if versions:
            known = ", ".join("/".join([version.number, *(f"@{alias}" for alias in version.aliases)]) for version in versions)
            raise InputError(f"{self.name} version {name}", f"does not exist (there are {known})", "`kdflow registry list` shows more")
        with self.wrap_errors():
            names = [model.name for model in self.client.search_registered_models()]
        known = f"there are {', '.join(names)}" if names else "there are none"
        problem = f"contains no versions of '{self.name}' ({known})"
        raise InputError(mask_passwords(self.uri), problem, "name another model with --model, or register one")

    def register(
        self,
        exported: Path,
        run_id: str,
        tags: Mapping[str, str],
        files: Mapping[str, Path] | None = None,
        folder_name: str = "model",
    ) -> str:
        """Register the ONNX file `exported` as an output of the run, with `tags`, unless a version has this content already.

        `files` by name are added to the files of the version: the `MODEL` that was exported, so that a training can start from it, the
        `REFERENCE_FILE` and the `SBOM_FILE`. All are in the folder `folder_name` of the run's artifacts.

        The version is created after its files were uploaded and together with its tags. So an interrupted registration leaves no
        incomplete version and can be repeated. If two processes register the same content at once, the lower number is kept.

        Returns:
            The number of the version with this content.
        """
        content = digest(exported)
        existing = self.versions(content)
        if existing:
            return existing[0].number
        self.create_model(self.name)
        with self.wrap_errors():
            with TemporaryDirectory() as folder:
                package(exported, Path(folder) / folder_name)
                for name, file in (files or {}).items():
                    shutil.copyfile(file, Path(folder) / folder_name / name)
                digests = json.dumps(file_digests(Path(folder) / folder_name), sort_keys=True)
                self.client.log_artifacts(run_id, folder)
            own_tags = {CONTENT_TAG: content, FILES_TAG: digests, PREPROCESSING_TAG: PREPROCESSING}
            own_tags |= sign(self.name, own_tags)
            self.check_signature(f"{self.name}: the new version", own_tags)
            created = self.client.create_model_version(self.name, f"runs:/{run_id}/{folder_name}", run_id, tags={**tags, **own_tags})
        first = self.versions(content)[0].number
        if first != str(created.version):
            with self.wrap_errors():
                self.client.delete_model_version(self.name, created.version)
        return first

    def set_tags(self, number: str, tags: Mapping[str, str], description: str | None = None) -> None:
        """Set tags and, unless it is None, the description of a version."""
        with self.wrap_errors():
            for key, value in tags.items():
                self.client.set_model_version_tag(self.name, number, key, value)
            if description is not None:
                self.client.update_model_version(self.name, number, description)

    def runs(self, version: Version) -> dict[str, str]:
        """Run ids by step, of the execution that registered a version. Empty if its runs were deleted."""
        from mlflow.exceptions import MlflowException

        with self.wrap_errors():
            try:
                run = self.client.get_run(version.run_id)
            except MlflowException:  # deleting a run does not delete the versions that it registered
                return {}
            parent = run.data.tags.get("mlflow.parentRunId")
            runs = self.client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'") if parent else [run]
            return {run.info.run_name: run.info.run_id for run in reversed(runs)}

    def check_signature(self, name: str, tags: Mapping[str, str]) -> None:
        """Raise `ChangedFiles` if there is a public key and the tags of the version `name` are not signed with its private key."""
        if self.public_key:
            check_signature(name, self.name, tags, self.public_key)

    def log_artifact(self, version: Version, file: Path, artifact_path: str) -> None:
        """Upload a file to the folder `artifact_path` of the run that registered a version."""
        with self.wrap_errors():
            self.client.log_artifact(version.run_id, str(file), artifact_path)

    @contextmanager
    def wrap_errors(self, ignore: str = "") -> Iterator[None]:
        """Raise every exception of a store, server or bucket as an `InputError`, except those with MLflow's error code `ignore`."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            if ignore and getattr(error, "error_code", "") == ignore:
                return
            problem = f"the registry of '{self.name}' fails ({one_line(error)})"
            raise InputError(mask_passwords(self.uri), problem, "repair it or set another MLFLOW_TRACKING_URI, then run again") from error


def _read_version(version: "ModelVersion", aliases: Mapping[str, str]) -> Version:
    number = str(version.version)
    own_aliases = sorted(alias for alias, target in aliases.items() if target == number)
    return Version(number, int(version.creation_timestamp), version.run_id or "", dict(version.tags), own_aliases)
