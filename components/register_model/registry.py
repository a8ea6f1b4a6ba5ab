"""One registered model in MLflow: its versions, known by their content, and their tags.

Unlike tracking, a fault here is an error: a model that is not registered has not been delivered.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from components.register_model.packaging import package
from components.runtime.recorder import mask_passwords, one_line
from components.runtime.tracking import import_mlflow, tracking_uri
from kd.errors import InputError
from kd.files import digest

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CONTENT = "kdflow.content"


class Version(NamedTuple):
    """A registered version; `created` in milliseconds since 1970, UTC."""

    number: str
    created: int
    run_id: str
    tags: dict[str, str]
    aliases: list[str]


class Registry:
    """The versions of the registered model `name` in the store at `uri`; every fault is an `InputError`."""

    def __init__(self, name: str, uri: str | None = None) -> None:
        self.name, self.uri = name, uri or tracking_uri()
        import_mlflow()
        with self.faults():
            from mlflow import MlflowClient

            self.client = MlflowClient(self.uri)

    def create(self, name: str, description: str = "") -> None:
        """Make the registered model `name` unless it is there."""
        from mlflow.exceptions import MlflowException

        with self.faults():
            try:
                self.client.create_registered_model(name, description=description or None)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

    def versions(self, content: str | None = None) -> list[Version]:
        """All versions, or those with a content, in the order of their numbers; none where there is no such registered model."""
        aliases = self.aliases()  # a search does not tell them
        return [_version(found, aliases) for found in self.search(self.name, {CONTENT: content} if content else {})]

    def aliases(self) -> dict[str, str]:
        """Numbers of versions by alias; none where there is no such registered model."""
        from mlflow.exceptions import MlflowException

        with self.faults():
            try:
                aliases = self.client.get_registered_model(self.name).aliases
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                aliases = {}
        return {alias: str(number) for alias, number in aliases.items()}

    def search(self, name: str, tags: Mapping[str, str]) -> list["ModelVersion"]:
        """The versions of the registered model `name` with all `tags`, in the order of their numbers."""
        query = " and ".join([f"name = '{name}'", *(f"tags.`{key}` = '{value}'" for key, value in tags.items())])
        found: list[ModelVersion] = []
        token = None
        with self.faults():
            while True:
                page = self.client.search_model_versions(query, page_token=token)
                found += page
                token = page.token
                if not token:
                    return sorted(found, key=lambda version: int(version.version))

    def version(self, name: str) -> Version:
        """The version of a number, such as "3", or of an alias, such as "champion" or "@champion".

        Raises:
            InputError: if there is none.
        """
        versions = self.versions()
        for version in versions:
            if name == version.number or name.removeprefix("@") in version.aliases:
                return version
        if versions:
            there = ", ".join("/".join([version.number, *(f"@{alias}" for alias in version.aliases)]) for version in versions)
            raise InputError(f"{self.name} version {name}", f"does not exist (there are {there})", "`kdflow list` shows more")
        with self.faults():
            names = [model.name for model in self.client.search_registered_models()]
        there = f"there are {', '.join(names)}" if names else "there are none"
        raise InputError(mask_passwords(self.uri), f"holds no versions of '{self.name}' ({there})", "name another with --model, or register one")

    def register(self, exported: Path, run_id: str, tags: Mapping[str, str]) -> str:
        """The version that holds the ONNX file `exported`; it is made, as an output of the run and with `tags`, if there is none.

        A version is made after its files have arrived and together with its tags, so a registration that was cut off leaves no
        half a version, and the next try finds what is there. Where two make the same at once, the first one stays.
        """
        content = digest(exported)
        found = self.versions(content)
        if found:
            return found[0].number
        self.create(self.name)
        with self.faults():
            with TemporaryDirectory() as folder:
                package(exported, Path(folder) / "model")
                self.client.log_artifacts(run_id, folder)
            made = self.client.create_model_version(self.name, f"runs:/{run_id}/model", run_id, tags={**tags, CONTENT: content})
        first = self.versions(content)[0].number
        if first != str(made.version):
            with self.faults():
                self.client.delete_model_version(self.name, made.version)
        return first

    def tag(self, number: str, tags: Mapping[str, str], description: str | None = None) -> None:
        """Set tags of a version, and its description."""
        with self.faults():
            for key, value in tags.items():
                self.client.set_model_version_tag(self.name, number, key, value)
            if description is not None:
                self.client.update_model_version(self.name, number, description)

    def runs(self, version: Version) -> dict[str, str]:
        """Run ids by step, of the execution that a version comes from; empty where its runs are gone."""
        from mlflow.exceptions import MlflowException

        with self.faults():
            try:
                run = self.client.get_run(version.run_id)
            except MlflowException:  # the store keeps versions longer than runs
                return {}
            parent = run.data.tags.get("mlflow.parentRunId")
            family = self.client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'") if parent else [run]
            return {member.info.run_name: member.info.run_id for member in reversed(family)}

    def download(self, number: str, folder: Path) -> Path:
        """Fetch the files of a version into the empty `folder`; where the model lies in it."""
        import mlflow.artifacts

        with self.faults():
            uri = self.client.get_model_version_download_uri(self.name, number)
            return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder), tracking_uri=self.uri, registry_uri=self.uri))

    def keep(self, version: Version, file: Path, place: str) -> None:
        """Keep a file with the run that made a version, in the folder `place` of its artifacts."""
        with self.faults():
            self.client.log_artifact(version.run_id, str(file), place)

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Turn whatever a store, server or bucket raises into an `InputError`."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            problem = f"the registry of '{self.name}' fails ({one_line(error)})"
            raise InputError(mask_passwords(self.uri), problem, "mend it, then run again") from error


def _version(found: "ModelVersion", aliases: Mapping[str, str]) -> Version:
    number = str(found.version)
    names = sorted(alias for alias, meant in aliases.items() if meant == number)
    return Version(number, int(found.creation_timestamp), found.run_id or "", dict(found.tags), names)
