"""Read a compiled pipeline: its name, parameters and steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from components.params.models import Params
from kd.errors import InputError
from kd.files import digest

TYPES: dict[str, type | tuple[type, ...]] = {
    "STRING": str,
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": bool,
    "STRUCT": dict,
    "LIST": list,
}
OPTIONS = {"image": "--image NAME@sha256:...", "data_repo": "--data-repo REPO", "data_rev": "--data-rev REV"}
"""Parameters with an option of their own."""


@dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Args:
        path: the file.
        name: the pipeline's name.
        parameters: KFP's specification of each parameter.
        digest: SHA-256 of the file.
    """

    path: Path
    name: str
    parameters: Mapping[str, Mapping[str, Any]]
    digest: str

    def arguments(self, params: Params, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of the pipeline: the sections of `params.yaml`, replaced or extended by `overrides`.

        Raises:
            InputError: if a name in `overrides` is not a parameter, a value has the wrong type, or a parameter has no value, or
                `data_repo` is empty: a pod has no data of its own.
        """
        for name, value in overrides.items():
            self._check(name, value)
        sections = {name: value for name, value in params.model_dump(mode="json").items() if name in self.parameters}
        arguments = {**sections, **overrides}
        for name, parameter in self.parameters.items():
            if name not in arguments and "defaultValue" not in parameter and not parameter.get("isOptional"):
                remedy = f"add {OPTIONS.get(name, f'--argument {name}=VALUE')}"
                raise InputError(f"pipeline '{self.name}'", f"its parameter '{name}' has no value", remedy)
        if "data_repo" in self.parameters and not (arguments.get("data_repo") or self.parameters["data_repo"].get("defaultValue")):
            raise InputError("data_repo", "is empty", "add --data-repo REPO, or set it in pipeline/cluster.yaml")
        return arguments

    def _check(self, name: str, value: object) -> None:
        if name not in self.parameters:
            raise InputError("--argument", f"the pipeline has no parameter '{name}'", f"use one of {', '.join(sorted(self.parameters))}")
        kind = self.parameters[name]["parameterType"]
        if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise InputError("--argument", f"'{name}' is {value!r}, not of the type {kind}", "correct its value")


def read_package(path: Path) -> Package:
    """Read the output of `kdflow pipeline compile`.

    Raises:
        InputError: if the file is missing or is not a compiled pipeline.
    """
    try:
        spec = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        inputs = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        return Package(path, spec["pipelineInfo"]["name"], inputs, digest(path))
    except FileNotFoundError:
        raise InputError(path, "is missing", "check the path, or omit --package") from None
    except (UnicodeDecodeError, yaml.YAMLError, StopIteration, KeyError, TypeError, AttributeError):
        raise InputError(path, "is not a compiled pipeline", "compile it with `kdflow pipeline compile --out FILE`") from None


def task_names(spec: Mapping[str, Any]) -> list[str]:
    """Names of the tasks that run a container, in topological order.

    Args:
        spec: a pipeline specification, or the object with pipeline and platform specification that the server returns.
    """
    spec = spec.get("pipeline_spec", spec)
    return list(_container_tasks(spec, spec["root"]))


def _container_tasks(spec: Mapping[str, Any], component: Mapping[str, Any]) -> Iterator[str]:
    tasks = component["dag"]["tasks"]
    for name in TopologicalSorter({name: tasks[name].get("dependentTasks", ()) for name in sorted(tasks)}).static_order():
        inner = spec["components"][tasks[name]["componentRef"]["name"]]
        if "dag" in inner:
            yield from _container_tasks(spec, inner)
        else:
            yield name
