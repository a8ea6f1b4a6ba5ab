"""What holds for the files of every layout: links, hidden files, byte order marks, and names in another spelling."""

import json
import shutil
import unicodedata
from xml.sax.saxutils import escape

import pytest

from components.prepare_data.layouts import read_dataset
from kd.errors import InputError
from tests.components.prepare_data.layouts.structures import PICTURES


@pytest.fixture(params=PICTURES)
def layout(request):
    return request.param


@pytest.fixture
def folder(writers, data, layout):
    return writers[layout](data)


@pytest.fixture
def pictures(folder, layout):
    return folder / PICTURES[layout]


def test_a_byte_order_mark_is_ignored(folder):
    before = read_dataset(folder, "auto")
    for file in [file for file in folder.rglob("*.*") if file.suffix != ".jpg"]:
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_dataset(folder, "auto") == before


def test_hidden_files_are_ignored(folder):
    shutil.rmtree(folder / "ImageSets", ignore_errors=True)
    before = read_dataset(folder, "auto")
    for file in [file for file in folder.rglob("*.*") if file.is_file()]:
        hidden = (f"._{file.name}", f".ipynb_checkpoints/a-checkpoint{file.suffix}", f"__MACOSX/{file.name}", f"{file.name}.aux.xml")
        for name in (*hidden, ".DS_Store", "Thumbs.db", "desktop.ini"):
            (file.parent / name).parent.mkdir(exist_ok=True)
            (file.parent / name).write_bytes(b"\0\5\26\7")
    assert read_dataset(folder, "auto") == before


@pytest.mark.parametrize("cached", [False, True])
def test_linked_folders_in_the_dataset_and_in_the_cache_of_dvc_are_followed(folder, pictures, tmp_path, cached):
    before = read_dataset(folder, "auto")
    target = tmp_path / "cache" / "files" / "md5" / "ab" / "cdef.dir" if cached else folder / "elsewhere" / "target"
    target.parent.mkdir(parents=True)
    pictures.rename(target)
    pictures.symlink_to(target)
    assert read_dataset(folder, "auto") == before


def test_linked_labels_are_followed(writers, data):
    folder = writers["yolo"](data)
    before = read_dataset(folder, "auto")
    (folder / "labels" / "train").rename(folder / "elsewhere")
    (folder / "labels" / "train").symlink_to("../elsewhere")
    assert read_dataset(folder, "auto") == before


def test_links_out_of_the_dataset_and_loops_are_rejected(folder, pictures, tmp_path):
    (pictures / "again").symlink_to(pictures)
    with pytest.raises(InputError, match=rf"{pictures}/again: is a link to the folder {pictures}, which contains it; remove the link"):
        read_dataset(folder, "auto")
    (pictures / "again").unlink()
    pictures.rename(tmp_path / "pictures")
    pictures.symlink_to(tmp_path / "pictures")
    with pytest.raises(InputError, match=rf"{pictures}: is a link to .*pictures, which is outside of {folder}"):
        read_dataset(folder, "auto")


def test_a_link_to_nothing_is_rejected(folder, pictures):
    (pictures / "a.jpg").unlink()
    (pictures / "a.jpg").symlink_to("/nowhere/a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg: is a link to /nowhere/a\.jpg, which is missing"):
        read_dataset(folder, "auto")


def test_a_link_that_was_unpacked_as_text_is_rejected(folder, pictures):
    (folder / "elsewhere").mkdir()
    (pictures / "camera").write_text("/".join([".."] * len(pictures.relative_to(folder).parts) + ["elsewhere"]))
    with pytest.raises(InputError, match=r"camera: is a text file that names the folder [./]*/elsewhere, a link that git"):
        read_dataset(folder, "auto")


NFC, NFD = (unicodedata.normalize(form, "caf\u00e9.jpg") for form in ("NFC", "NFD"))


@pytest.mark.parametrize("layout", ["coco", "voc"])
@pytest.mark.parametrize(
    ("name", "found", "doubtful"),
    [
        ("b.jpg", "b.jpg", False),
        ("./b.jpg", "b.jpg", False),
        ("b", "b.jpg", False),
        ("b.png", "b.jpg", False),
        ("b.png", "b.jfif", False),
        ("B.JPG", "b.jpg", False),
        ("b_jpg.rf.0123", "b_jpg.rf.0123.jpg", False),
        (NFC, NFD, False),
        (NFD, NFC, False),
        ("C:\\data\\images\\b.jpg", "b.jpg", False),
        ("images\\b.jpg", "b.jpg", False),
        ("/home/someone/images/b.jpg", "b.jpg", False),
        ("b.jpg", "camera/b.jpg", False),
        ("camera/b.jpg", "b.jpg", True),
    ],
)
def test_a_picture_is_found_in_another_spelling(folder, pictures, layout, name, found, doubtful):
    (pictures / found).parent.mkdir(exist_ok=True)
    (pictures / "b.jpg").rename(pictures / found)
    file = folder / ("train/annotations.json" if layout == "coco" else "Annotations/b.xml")
    old, new = ('"b.jpg"', json.dumps(name)) if layout == "coco" else ("b.jpg", escape(name))
    file.write_text(file.read_text().replace(old, new), encoding="utf-8")
    dataset = read_dataset(folder, "auto")
    assert dataset.splits["train"][1].path == pictures / found
    examples = [f"camera/b.jpg -> {PICTURES[layout]}/b.jpg"] * doubtful
    assert [(finding.check, finding.examples) for finding in dataset.findings] == [("pictures under another name", examples)] * doubtful


@pytest.mark.parametrize("suffix", [".jfif", ".JPG", ".webp", ".tiff"])
def test_other_picture_formats_are_read(folder, pictures, suffix):
    before = read_dataset(folder, "auto")
    (pictures / "a.jpg").rename(pictures / f"a{suffix}")
    dataset = read_dataset(folder, "auto")
    assert dataset.splits["train"][0].path.suffix == suffix and dataset.splits["train"][0].boxes == before.splits["train"][0].boxes


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_label_files_may_be_in_another_unicode_normalization(writers, data, form):
    folder = writers["yolo"](data)
    other = {"NFC": NFD, "NFD": NFC}[form]
    (folder / "images/train/a.jpg").rename(folder / "images" / "train" / {"NFC": NFC, "NFD": NFD}[form])
    (folder / "labels/train/a.txt").rename(folder / "labels" / "train" / other.replace(".jpg", ".txt"))
    dataset = read_dataset(folder, "auto")
    assert sum(len(p.boxes) for p in dataset.splits["train"]) == 4 and dataset.findings == []
