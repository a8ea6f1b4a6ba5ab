"""Hostile YAML is refused before it is loaded, in every file that kdflow reads; anchors and aliases within the limits are not."""

from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from components.params import yaml_text
from components.params.load import load_params
from components.params.yaml_text import parse_yaml
from components.prepare_data.layouts.yolo_config import read_config
from kd.errors import InputError
from pipeline.cluster import load_cluster

LISTS = (f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in pairwise("abcdefghi"))
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(LISTS)
HOSTILE = {
    "alias bomb": BOMB,
    "merge bomb": "a: &a {x: 1}\nb:\n  <<: [" + ",".join(["*a"] * 60_000) + "]\n",
    "alias of itself": "a: &a [*a]\n",
    "deep flow": "x: " + "[" * 100_000,
    "deep block": "- " * 50_000,
    "many values": "x: [" + "y," * 60_000 + "]",
    "long text": "x: '" + "y" * 3_000_000 + "'",
    "integer": "x: " + "9" * 5000,
    "hexadecimal": "x: 0x" + "f" * 100_000,
    "tagged integer": "x: !!int '" + "9" * 5000 + "'",
    "sexagesimal": "x: " + "9:" * 100_000 + "9",
    "date": "x: 2026-13-45",
    "unhashable key": "? [1]\n: 2\n",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_is_one_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)


@pytest.mark.parametrize("name", ["alias bomb", "deep flow", "many values", "long text", "hexadecimal"])
def test_a_hostile_text_is_not_loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text.yaml, "load", None)
    with pytest.raises(yaml.YAMLError):
        parse_yaml(HOSTILE[name])


def test_aliases_quotes_and_many_classes_are_read() -> None:
    text = "a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, x: 3}\nc: *a\nn: '" + "9" * 5000 + "'\n"
    assert parse_yaml(text) == {"a": {"x": 1, "y": [1, 2]}, "b": {"x": 3, "y": [1, 2]}, "c": {"x": 1, "y": [1, 2]}, "n": "9" * 5000}
    names = {number: f"class {number}" for number in range(10_000)}
    assert parse_yaml(yaml.safe_dump({"names": names})) == {"names": names}


@pytest.mark.parametrize("name", ["alias bomb", "deep flow", "integer", "date"])
def test_every_file_is_read_within_the_limits(name: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(HOSTILE[name])
    for read in (load_params, load_cluster):
        with pytest.raises(InputError, match=r"data\.yaml: is not YAML: "):
            read(tmp_path / "data.yaml")
    with pytest.raises(InputError, match=r"data\.yaml: is not YAML: "):
        read_config(tmp_path)
    with pytest.raises(InputError, match="is not YAML"):
        load_params(overrides=[f"seed={HOSTILE[name]}"])
