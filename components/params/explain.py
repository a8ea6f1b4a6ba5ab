"""The command `kdflow params`: every parameter with its value, allowed values and description."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from components.params.load import load_params
from components.params.models import Params
from components.params.yaml_text import parse_yaml
from kd.errors import clean_exit

MISSING = "(missing)"
EXAMPLES = """examples:
  %(prog)s
  %(prog)s --params examples/voc.yaml"""
Schema = dict[str, Any]


class Row(NamedTuple):
    """A parameter: its dotted name, value, allowed values and description."""

    name: str
    value: str
    allowed: str
    description: str


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "kdflow params") -> None:
    """Print the table, then validate the file."""
    parser = argparse.ArgumentParser(
        prog, description="Explain every parameter.", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file (default: params.yaml)")
    path = parser.parse_args(arguments).params
    rows = list(explain(_read_leniently(path)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)]
        print("  ".join([*cells, row.description]))
    load_params(path)


def explain(content: Any) -> Iterator[Row]:
    """A row for each parameter, with its value in `content`."""
    schema = Params.model_json_schema()
    yield from _rows(schema, schema["$defs"], content, "")


def _rows(schema: Schema, sections: Schema, content: Any, prefix: str) -> Iterator[Row]:
    for name, field in schema["properties"].items():
        value = content.get(name, MISSING) if isinstance(content, dict) else MISSING
        if "$ref" in field:
            yield from _rows(sections[field["$ref"].split("/")[-1]], sections, value, f"{prefix}{name}.")
        else:
            yield Row(f"{prefix}{name}", _format_value(value), _allowed(field), field["description"])


def _format_value(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip() if value != MISSING else MISSING


def _allowed(field: Schema) -> str:
    """Such as "integer >= 1", "adamw | sgd" or "list of 2 integer >= 1"."""
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if field["type"] == "array":
        count = f"{field['minItems']} " if "minItems" in field else ""
        return f"list of {count}{_allowed(field['items'])}"
    if field["type"] == "object":
        return "{text: text, ...}"
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<", "multipleOf": "multiple of"}
    limits = [f"{sign} {field[key]:g}" for key, sign in signs.items() if key in field]
    return f"{'text' if field['type'] == 'string' else field['type']} {', '.join(limits)}".strip()


def _read_leniently(path: Path) -> Any:
    """The file's content, or None if it cannot be read: the table is shown for an invalid file, too."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
