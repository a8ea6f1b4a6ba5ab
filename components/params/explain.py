"""`python -m components.params`: every parameter, its present value, what it may be and what it means."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from components.params.load import load_params
from components.params.models import Params
from kd.errors import handle_errors

MISSING = "(missing)"
Schema = dict[str, Any]


class Row(NamedTuple):
    """A parameter: its dotted name, present value, allowed values and meaning."""

    name: str
    value: str
    allowed: str
    meaning: str


@handle_errors
def main() -> None:
    """Print the table; afterwards say what is wrong with the file, if anything is."""
    parser = argparse.ArgumentParser(prog="python -m components.params", description="Explain every parameter.")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file (default: params.yaml)")
    path = parser.parse_args().params
    rows = list(explained(_leniently_read(path)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ("  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row.meaning]) for row in rows)
    print("\n".join(lines))
    load_params(path)


def explained(content: Any) -> Iterator[Row]:
    """A row for each parameter there is, with its value in `content`."""
    schema = Params.model_json_schema()
    yield from _section(schema, schema["$defs"], content, "")


def _section(schema: Schema, sections: Schema, content: Any, prefix: str) -> Iterator[Row]:
    for name, field in schema["properties"].items():
        value = content.get(name, MISSING) if isinstance(content, dict) else MISSING
        if "$ref" in field:
            yield from _section(sections[field["$ref"].split("/")[-1]], sections, value, f"{prefix}{name}.")
        else:
            yield Row(f"{prefix}{name}", _shown(value), _allowed(field), field["description"])


def _shown(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip() if value != MISSING else MISSING


def _allowed(field: Schema) -> str:
    """Such as "integer >= 1", "adamw | sgd" or "list of 2 integer >= 1"."""
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if field["type"] == "array":
        count = f"{field['minItems']} " if "minItems" in field else ""
        return f"list of {count}{_allowed(field['items'])}"
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<", "multipleOf": "multiple of"}
    limits = [f"{sign} {field[key]:g}" for key, sign in signs.items() if key in field]
    return f"{'text' if field['type'] == 'string' else field['type']} {', '.join(limits)}".strip()


def _leniently_read(path: Path) -> Any:
    """The file's content, or None: who asks may be about to mend it."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
