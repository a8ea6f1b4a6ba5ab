"""Read `params.yaml`, apply `--set` overrides, and check the result."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from components.params.models import Params
from kd.errors import InputError

RENAMED = {
    "augment.colour": "augment.color",
    "info_maps.reading": "info_maps.method",
    "student.train.optimiser": "student.train.optimizer",
    "teacher.train.optimiser": "teacher.train.optimizer",
}
"""Keys of earlier versions and their present names."""


def load_params(path: Path = Path("params.yaml"), overrides: Sequence[str] = ()) -> Params:
    """Read and check a parameter file.

    Args:
        path: the YAML file.
        overrides: changes such as `student.train.epochs=3`; the value is read as YAML.

    Raises:
        InputError: naming the file and the parameter that is missing, unknown, or has a wrong type or value.
    """
    try:
        content = _parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "is missing", "run from the project's folder, or name it with --params") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(path, f"is not YAML: {' '.join(str(error).split())}", "correct that line") from None
    for override in overrides:
        _override(content, override)
    return check_params(content, path)


def check_params(content: Any, where: str | Path) -> Params:
    """Parameters from plain data.

    Raises:
        InputError: naming `where` and the parameter that is missing, unknown, or has a wrong type or value.
    """
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(where, *_explain(error)) from None


def _override(content: dict[str, Any], override: str) -> None:
    name, equals, value = override.partition("=")
    if name in RENAMED:
        raise InputError("--set", f"'{name}' is now called '{RENAMED[name]}'", f"write {RENAMED[name]}=VALUE")
    *sections, key = name.split(".")
    for section in sections:
        content = content.get(section, {}) if isinstance(content, dict) else {}
    if not equals or not isinstance(content, dict) or key not in content:
        raise InputError("--set", f"'{override}' is not an assignment to a parameter", "write section.name=value; `kdflow params` lists them")
    try:
        content[key] = _parse(value)
    except yaml.YAMLError:
        raise InputError("--set", f"the value of '{override}' is not YAML", "write section.name=value") from None


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, as YAML 1.2 and DVC do; PyYAML alone reads it as text."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))


def _parse(text: str) -> Any:
    return yaml.load(text, _Loader)


def _explain(error: ValidationError) -> tuple[str, str]:
    """The first fault and its remedy; a key that was renamed comes before all others."""
    faults = {".".join(str(part) for part in fault["loc"]): fault for fault in reversed(error.errors())}
    renamed = [name for name in RENAMED if name in faults]
    name = renamed[0] if renamed else list(faults)[-1]
    if name in RENAMED:
        return f"parameter '{name}' is now called '{RENAMED[name]}'", "rename it"
    fault, shown = faults[name], name or "the whole file"
    if fault["type"] == "extra_forbidden":
        return f"unknown parameter '{shown}'", "remove it or correct its name; `kdflow params` lists all"
    if fault["type"] == "missing":
        return f"parameter '{shown}' is missing", "add it; `kdflow params` explains it"
    return f"parameter '{shown}' is {fault['input']!r}: {fault['msg']}", "correct its value"
