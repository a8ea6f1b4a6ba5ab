"""What a compiled pipeline says about itself: its name, its parameters and its steps."""

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
"""Parameters that have an option of their own."""


@dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Args:
        path: its file.
        name: the pipeline's name.
        parameters: KFP's description of each parameter.
        digest: SHA-256 of the file.
    """

    path: Path
    name: str
    parameters: Mapping[str, Mapping[str, Any]]
    digest: str

    def arguments(self, params: Params, more: Mapping[str, Any]) -> dict[str, Any]:
        """A value for each of the pipeline's parameters: sections of `params.yaml`, and `more`, which goes first.

        Raises:
            InputError: if `more` names no parameter or is of another type, or if a parameter is left without a value.
        """
        for name, value in more.items():
            self._check(name, value)
        sections = {name: value for name, value in params.model_dump(mode="json").items() if name in self.parameters}
        given = {**sections, **more}
        for name, about in self.parameters.items():
            if name not in given and "defaultValue" not in about and not about.get("isOptional"):
                remedy = f"add {OPTIONS.get(name, f'--argument {name}=VALUE')}"
                raise InputError(f"pipeline '{self.name}'", f"its parameter '{name}' has no value", remedy)
        return given

    def _check(self, name: str, value: object) -> None:
        if name not in self.parameters:
            raise InputError("--argument", f"the pipeline has no parameter '{name}'", f"choose of {', '.join(sorted(self.parameters))}")
        kind = self.parameters[name]["parameterType"]
        if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise InputError("--argument", f"'{name}' is {value!r}, not of the type {kind}", "mend its value")


def read_package(path: Path) -> Package:
    """Read what `python -m pipeline compile` wrote.

    Raises:
        InputError: if the file is missing or is no compiled pipeline.
    """
    try:
        spec = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        inputs = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        return Package(path, spec["pipelineInfo"]["name"], inputs, digest(path))
    except FileNotFoundError:
        raise InputError(path, "is missing", "check the path, or leave --package out") from None
    except (UnicodeDecodeError, yaml.YAMLError, StopIteration, KeyError, TypeError, AttributeError):
        raise InputError(path, "is no compiled pipeline", "make one with `python -m pipeline compile --out FILE`") from None


def steps(spec: Mapping[str, Any]) -> list[str]:
    """Names of the tasks that run a container, each behind those that it waits for.

    Args:
        spec: a pipeline's specification, alone or beside its platform's, as the server returns it.
    """
    spec = spec.get("pipeline_spec", spec)
    return list(_containers(spec, spec["root"]))


def _containers(spec: Mapping[str, Any], component: Mapping[str, Any]) -> Iterator[str]:
    tasks = component["dag"]["tasks"]
    for name in TopologicalSorter({name: tasks[name].get("dependentTasks", ()) for name in sorted(tasks)}).static_order():
        inner = spec["components"][tasks[name]["componentRef"]["name"]]
        if "dag" in inner:
            yield from _containers(spec, inner)
        else:
            yield name
