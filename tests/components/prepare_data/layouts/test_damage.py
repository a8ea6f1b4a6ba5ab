"""Damaged datasets: every reader returns a dataset or raises one InputError, and never another exception."""

import json
import math
import re
import shutil
from itertools import count

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.prepare_data.clipping import clip_boxes, drop_duplicates
from components.prepare_data.layouts import read_dataset
from components.prepare_data.layouts.dataset import RawDataset
from kd.errors import InputError
from tests.components.prepare_data.layouts.structures import STRUCTURES

BOM = b"\xef\xbb\xbf"
# what replaces a number, a word or a string of a label file
TOKENS = [
    *rb"""NaN nan -Infinity inf 1e999 -1 0 1.0000001 -1e-9 1e308 true null ~ [] {} "" "x" "\ud800" "\u0000" 2020-13-45 default .""".split(),
    *(b"", b"\0", b"\xff\xfe", "\u00e9".encode(), b"../../etc/passwd", b"/etc/passwd", b"C:\\x\\a.jpg"),
    *(b"9" * 5000, b"a" * 300, b"[" * 9000),
    *(b"&amp;", b"<x>", b"*a", b"- [", b"&a [*a]", b"!!timestamp x", b"!!int x", b"!!bool x"),
]
# what replaces a value of a JSON or YAML file
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([10**400, "../x", "/x", "a.jpg"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
NAMES = ["caf\u00e9", "cafe\u0301", "\U0001f431", "a b", "a\nb", "._a", "A", "a;b", "x" * 200, "\u202e", "-a", "a\udcffb"]


def truncate(file, draw):
    file.write_bytes(file.read_bytes()[: draw(st.integers(0, max(0, file.stat().st_size - 1)))])


def insert_bytes(file, draw):
    content = file.read_bytes()
    start = draw(st.integers(0, len(content)))
    file.write_bytes(content[:start] + draw(st.binary(max_size=6)) + content[start:])


def replace_token(file, draw):
    content = file.read_bytes()
    tokens = [match.span() for match in re.finditer(rb'-?\d+(?:\.\d+)?|"[^"]*"|[A-Za-z_]+(?:\.[a-z]+)?', content[:20000])]
    if tokens:
        start, end = draw(st.sampled_from(tokens))
        file.write_bytes(content[:start] + draw(st.sampled_from(TOKENS)) + content[end:])


def places(content):
    """All (container, key) in nested lists and dictionaries."""
    for key in list(content) if isinstance(content, dict) else range(len(content)):
        yield content, key
        if isinstance(content[key], list | dict):
            yield from places(content[key])


def replace_value(file, draw):
    load, dump = {".json": (json.loads, json.dumps)}.get(file.suffix, (yaml.safe_load, yaml.safe_dump))
    try:
        content = load(file.read_text()) if file.suffix in (".json", ".yaml") else None
    except (ValueError, RecursionError, yaml.YAMLError):
        return
    if isinstance(content, dict) and content:
        container, key = draw(st.sampled_from(list(places(content))))
        if draw(st.booleans()):
            container[key] = draw(VALUES)
        else:
            del container[key]
        file.write_text(dump(content))


def add_mark(file, draw):
    file.write_bytes(BOM + file.read_bytes())


def encode(file, draw):
    file.write_bytes(file.read_bytes().decode("latin-1").encode(draw(st.sampled_from(["utf-16", "utf-32", "cp037"]))))


def delete(file, draw):
    file.unlink()


def make_folder(file, draw):
    file.unlink()
    file.mkdir()


def make_link(file, draw):
    target = draw(st.sampled_from([file, file.parent, file.parent.parent, "/", "/nowhere", "/etc/hostname"]))
    file.unlink()
    file.symlink_to(target)


def rename(file, draw):
    target = file.with_name(draw(st.sampled_from(NAMES)) + draw(st.sampled_from([file.suffix, ".jpg", ".txt", ".xml", ".jfif", ""])))
    if not target.exists():
        file.rename(target)


def move(file, draw):
    root = next(parent for parent in file.parents if parent.name.startswith("damaged"))
    target = draw(st.sampled_from(sorted(folder for folder in [root, *root.rglob("*")] if folder.is_dir() and not folder.is_symlink())))
    if not (target / file.name).exists():
        file.rename(target / file.name)


DAMAGES = [
    truncate,
    insert_bytes,
    replace_token,
    replace_token,
    replace_value,
    add_mark,
    encode,
    delete,
    make_folder,
    make_link,
    rename,
    move,
]


DAMAGED = ["coco", "voc", "yolo", "coco Label Studio", "voc Roboflow", "yolo Darknet, data/", "yolo classes.txt"]


def check(dataset, folder):
    assert isinstance(dataset, RawDataset)
    assert dataset.classes and len(set(dataset.classes)) == len(dataset.classes)
    assert set(dataset.splits) <= {"train", "val", "test"}
    for picture in (picture for pictures in dataset.splits.values() for picture in pictures):
        assert picture.path.is_relative_to(folder) and picture.path.is_file()
        assert (picture.width > 0) == (picture.height > 0) and min(picture.width, picture.height) >= 0
        for box in picture.boxes:
            assert box.label in range(len(dataset.classes))
            assert all(math.isfinite(value) for value in (box.x, box.y, box.w, box.h))
    for finding in dataset.findings:
        assert finding.count > 0 and 0 < len(finding.examples) <= 3 and all(isinstance(text, str) for text in finding.examples)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_dataset_is_read_or_rejected(writers, data, tmp_path, name):
    layout, change, splits, _ = STRUCTURES[name]
    source = writers[layout]({split: data[split] for split in splits})
    change(source)
    numbers = count()

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def damage(drawn):
        folder = tmp_path / f"damaged{next(numbers)}"
        shutil.copytree(source, folder)
        for _ in range(drawn.draw(st.integers(1, 3))):
            files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
            labels = [file for file in files if file.suffix != ".jpg"] or files
            file = drawn.draw(st.sampled_from(labels if labels and drawn.draw(st.integers(0, 4)) else files))
            drawn.draw(st.sampled_from(DAMAGES))(file, drawn.draw)
        try:
            dataset = read_dataset(folder, drawn.draw(st.sampled_from(["auto", "coco", "voc", "yolo"])))
            check(dataset, folder)
            clip_boxes(dataset)
            drop_duplicates(dataset)
        except InputError as error:
            assert error.args[2]  # the remedy
        shutil.rmtree(folder)

    damage()
