"""Read a parameter file, apply the overrides of `--set`, and validate the result."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from components.params.models import Params
from components.params.yaml_text import SafeLoader, parse_yaml
from kd.errors import InputError

RENAMED = {
    "augment.colour": "augment.color",
    "info_maps.reading": "info_maps.method",
    "student.train.optimiser": "student.train.optimizer",
    "teacher.train.optimiser": "teacher.train.optimizer",
}
"""Old keys and their new names, for the error message."""


def load_params(path: Path = Path("params.yaml"), overrides: Sequence[str] = ()) -> Params:
    """Read and validate a parameter file.

    Args:
        path: the YAML file.
        overrides: changes such as `student.train.epochs=3`; the value is parsed as YAML.

    Raises:
        InputError: if the file is missing or a parameter is missing, unknown, or has an invalid type or value.
    """
    try:
        content = _parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "is missing", "run in the project's folder, or give its path with --params") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(path, f"is not YAML: {' '.join(str(error).split())}", "correct that line") from None
    for override in overrides:
        _override(content, override)
    return check_params(content, path)


def check_params(content: Any, where: str | Path) -> Params:
    """Validate parameters; `where` is their origin for the error message.

    Raises:
        InputError: if a parameter is missing, unknown, or has an invalid type or value.
    """
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(where, *_first_problem(error)) from None


def _override(content: dict[str, Any], override: str) -> None:
    name, equals, value = override.partition("=")
    if name in RENAMED:
        raise InputError("--set", f"'{name}' is now called '{RENAMED[name]}'", f"write {RENAMED[name]}=VALUE")
    *sections, key = name.split(".")
    for section in sections:
        content = content.get(section, {}) if isinstance(content, dict) else {}
    if not equals or not isinstance(content, dict) or key not in content:
        raise InputError("--set", f"'{override}' is not an assignment to a parameter", "write section.name=value; see `kdflow params`")
    try:
        content[key] = _parse(value)
    except yaml.YAMLError:
        raise InputError("--set", f"the value of '{override}' is not YAML", "write section.name=value") from None


class _Loader(SafeLoader):  # type: ignore[misc]
    """Parses 1e-3 as a number, as YAML 1.2 and DVC do; PyYAML parses it as a string."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))


def _parse(text: str) -> Any:
    return parse_yaml(text, _Loader)


def _first_problem(error: ValidationError) -> tuple[str, str]:
    """The first problem and its remedy. A renamed key comes first: without it, its new name would be reported as missing."""
    problems = {".".join(map(str, problem["loc"])): problem for problem in reversed(error.errors())}
    if renamed := next((name for name in RENAMED if name in problems), None):
        return f"parameter '{renamed}' is now called '{RENAMED[renamed]}'", "rename it"
    name, problem = list(problems.items())[-1]
    shown = name or "the whole file"
    if problem["type"] == "extra_forbidden":
        return f"unknown parameter '{shown}'", "remove it or correct its name; `kdflow params` lists all"
    if problem["type"] == "missing":
        return f"parameter '{shown}' is missing", "add it; `kdflow params` explains it"
    value = "" if isinstance(problem["input"], dict) else f" is {problem['input']!r}"
    return f"parameter '{shown}'{value}: {problem['msg'].removeprefix('Value error, ')}", "correct its value"
