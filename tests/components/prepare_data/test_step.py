"""The step `prepare_data`: one format out of every layout."""

import pytest
from PIL import Image

from kd.errors import InputError
from tests.components.prepared import annotations, contents, summary


def test_all_layouts_give_the_same_output(write, data, prepare):
    outputs = [contents(prepare(write[layout](data), output=layout)) for layout in ("coco", "voc", "yolo")]
    assert outputs[0] == outputs[1] == outputs[2]


def test_writes_coco(write, data, prepare):
    prepared = prepare(write["coco"](data))
    assert annotations(prepared, "test") == {
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "images": [
            {"id": 1, "file_name": "f.jpg", "width": 48, "height": 32},
            {"id": 2, "file_name": "g.jpg", "width": 32, "height": 32},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 2, "bbox": [12.0, 8.0, 24.0, 16.0], "area": 384.0, "iscrowd": 0},
            {"id": 2, "image_id": 2, "category_id": 1, "bbox": [2.0, 2.0, 8.0, 8.0], "area": 64.0, "iscrowd": 0},
        ],
    }


def test_pictures_are_sorted_by_name(write, data, prepare):
    in_order = contents(prepare(write["coco"](data)))
    backwards = {split: dict(reversed(pictures.items())) for split, pictures in data.items()}
    assert contents(prepare(write["voc"](backwards))) == in_order


def test_copies_pictures_byte_for_byte(write, data, prepare):
    source = write["coco"](data)
    prepared = prepare(source)
    for split in data:
        assert contents(prepared / split / "images") == contents(source / split / "images")


def test_preparing_prepared_data_changes_nothing(write, data, prepare):
    once = prepare(write["voc"](data))
    assert contents(prepare(once, output="again")) == contents(once)


def test_no_val_split_on_request(write, data, prepare):
    del data["val"]
    prepared = prepare(write["coco"](data), "data.val=0.0")
    assert annotations(prepared, "val")["images"] == []
    assert summary(prepared)["splits"]["val"]["pictures"] == 0
    assert len(annotations(prepared, "train")["images"]) == 4


def test_unsplit_data_are_cut_alike_in_every_layout(write, prepare):
    boxes = [(0, 2, 2, 8, 8), (1, 4, 4, 16, 16)]
    data = {"train": {f"p{i}": (32, 32, boxes) for i in range(40)}}
    cut = [prepare(write[layout](data), output=layout) for layout in ("coco", "voc", "yolo")]
    assert contents(cut[0]) == contents(cut[1]) == contents(cut[2])
    sizes = {split: len(annotations(cut[0], split)["images"]) for split in ("train", "val", "test")}
    assert sum(sizes.values()) == 40
    assert min(sizes.values()) > 0


def test_equal_names_in_different_folders_stay_apart(write, data, prepare, edit, draw):
    folder = write["coco"](data)
    draw(folder / "train" / "images" / "more" / "a.jpg", 50, 30)
    edit(
        folder / "train" / "annotations.json",
        lambda content: content["images"].append({"id": 99, "file_name": "more/a.jpg", "width": 50, "height": 30}),
    )
    prepared = prepare(folder)
    names = {image["file_name"]: image["width"] for image in annotations(prepared, "train")["images"]}
    assert sorted(width for name, width in names.items() if name.endswith("_a.jpg")) == [40, 50]
    assert {name for name in names if not name.endswith("_a.jpg")} == {"b.jpg", "c.jpg", "d.jpg"}
    assert set(names) == {path.name for path in (prepared / "train" / "images").iterdir()}
    with Image.open(prepared / "train" / "images" / next(name for name, width in names.items() if width == 50)) as image:
        assert image.size == (50, 30)


def test_turned_pictures_are_measured_as_shown(write, data, prepare, edit):
    folder = write["coco"](data)
    file = folder / "train" / "images" / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(file) as image:
        image.load()
    image.save(file, exif=exif)
    with pytest.raises(InputError, match=r"width and height of a\.jpg are declared as 40x20, but it shows 20x40"):
        prepare(folder)
    edit(folder / "train" / "annotations.json", lambda content: content["images"][0].update(width=20, height=40))
    assert annotations(prepare(folder), "train")["images"][0]["height"] == 40


def test_links_as_dvc_makes_them_become_files(write, data, prepare):
    folder = write["coco"](data)
    cache = folder.parent / "cache.bin"
    file = folder / "train" / "images" / "a.jpg"
    file.rename(cache)
    cache.chmod(0o444)
    file.symlink_to(cache)
    copied = prepare(folder) / "train" / "images" / "a.jpg"
    assert not copied.is_symlink()
    assert copied.read_bytes() == cache.read_bytes()
    assert copied.stat().st_mode & 0o200
