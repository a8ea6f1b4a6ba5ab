"""The model registry: versions are known by their content, and aliases say what they are good for.

Unlike tracking, a fault here is an error: a model that is not registered has not been delivered.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from components.courier import first_line, masked
from components.packaging import package
from components.tracking import store_uri
from kd.errors import InputError
from kd.files import digest

CONTENT = "kdflow.content"


class Registry:
    """The versions of one registered model; every fault of the registry is an `InputError`."""

    def __init__(self, name: str) -> None:
        self.name = name
        with self._faults():
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException

            self._client = MlflowClient(store_uri())
            try:
                self._client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

    def register(self, exported: Path, image_size: int, run_id: str, tags: dict[str, str]) -> str:
        """The version that holds the ONNX file `exported`; it is made, as an output of the run and with `tags`, if there is none.

        A version is made after its files have arrived and together with its tags, so a registration that was cut off leaves no
        half a version, and the next try finds what is there.
        """
        content = digest(exported)
        with self._faults():
            found = self._client.search_model_versions(f"name = '{self.name}' and tags.`{CONTENT}` = '{content}'")
            if found:
                return str(found[0].version)
            with TemporaryDirectory() as folder:
                package(exported, Path(folder) / "model")
                self._client.log_artifacts(run_id, folder)
            made = self._client.create_model_version(self.name, f"runs:/{run_id}/model", run_id, tags={**tags, CONTENT: content})
            return str(made.version)

    def content_of(self, alias: str) -> str | None:
        """SHA-256 of the ONNX file that `alias` points at; None without such an alias."""
        with self._faults():
            version = self._client.get_registered_model(self.name).aliases.get(alias)
            return self._client.get_model_version(self.name, version).tags.get(CONTENT, "") if version else None

    def point(self, alias: str, version: str) -> None:
        """Let `alias` mean `version`."""
        with self._faults():
            self._client.set_registered_model_alias(self.name, alias, version)

    def aliases(self, version: str) -> list[str]:
        """The aliases of `version`, sorted."""
        with self._faults():
            return sorted(self._client.get_model_version(self.name, version).aliases)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # stores, servers and buckets each have their own
            problem = f"'{self.name}' cannot be registered ({first_line(error)})"
            raise InputError(masked(store_uri()), problem, "mend the registry, then run again") from error
