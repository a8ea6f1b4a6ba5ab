"""Detection of the layout."""

import pytest

from components.prepare_data.layouts import read_dataset
from kd.errors import InputError


@pytest.mark.parametrize("layout", ["coco", "voc", "yolo"])
def test_auto_detects_the_layout(writers, data, layout):
    folder = writers[layout](data)
    assert read_dataset(folder, "auto") == read_dataset(folder, layout)


def test_a_missing_folder_is_rejected(tmp_path):
    with pytest.raises(InputError, match=r"data\.path: '.*nowhere' is not a folder"):
        read_dataset(tmp_path / "nowhere", "auto")


def test_a_folder_without_a_layout_is_rejected(tmp_path):
    with pytest.raises(InputError, match="contains no COCO, VOC or YOLO labels"):
        read_dataset(tmp_path, "auto")


def test_the_message_for_a_folder_without_a_layout_lists_the_files_that_were_looked_for(writers, data, tmp_path):
    with pytest.raises(InputError) as error:
        read_dataset(tmp_path, "auto")
    assert all(name in str(error.value) for name in ("annotations.json", "Annotations/*.xml", "data.yaml", "docs/data.md"))
    folder = writers["voc"](data)
    with pytest.raises(InputError, match=r"; set data\.path to its folder voc$"):
        read_dataset(folder.parent, "auto")


def test_a_folder_with_another_layout_is_rejected(writers, data):
    with pytest.raises(InputError, match="contains no voc labels"):
        read_dataset(writers["coco"](data), "voc")


def test_two_layouts_in_a_folder_are_rejected(writers, data):
    folder = writers["coco"](data)
    writers["yolo"](data)
    (folder.parent / "yolo" / "data.yaml").rename(folder / "data.yaml")
    with pytest.raises(InputError, match=r"contains labels of coco and yolo; choose one with data\.layout"):
        read_dataset(folder, "auto")
    assert set(read_dataset(folder, "coco").splits) == {"train", "val", "test"}


@pytest.mark.parametrize("layout", ["coco", "voc", "yolo"])
def test_links_are_followed_inside_the_folder_and_refused_elsewhere(writers, data, tmp_path, layout):
    folder = writers[layout](data)
    before = read_dataset(folder, "auto")
    (folder / "notes").mkdir()
    (folder / "again").symlink_to(folder / "notes")
    assert read_dataset(folder, "auto") == before
    (folder / "again").unlink()
    (folder / "again").symlink_to(folder)
    with pytest.raises(InputError, match=r"again: is a link to the folder .*, which contains it; remove the link"):
        read_dataset(folder, "auto")
    (folder / "again").unlink()
    (tmp_path / "elsewhere").mkdir()
    (folder / "again").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"again: is a link to .*elsewhere, which is outside of"):
        read_dataset(folder, "auto")


def empty_coco(folder):
    (folder / "val" / "annotations.json").write_text('{"images": [], "annotations": [], "categories": [{"id": 3, "name": "cat"}]}')


def empty_voc(folder):
    (folder / "ImageSets" / "Main" / "val.txt").write_text("")


def empty_yolo(folder):
    for file in ("images/val/e.jpg", "labels/val/e.txt"):
        (folder / file).unlink()


@pytest.mark.parametrize("empty", [empty_coco, empty_voc, empty_yolo])
def test_splits_without_pictures_are_reported(writers, data, empty):
    folder = writers[empty.__name__.removeprefix("empty_")](data)
    empty(folder)
    (finding,) = (finding for finding in read_dataset(folder, "auto").findings if finding.check == "missing splits")
    assert (finding.count, finding.examples) == (1, ["val"])
