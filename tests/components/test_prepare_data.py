"""The step `prepare_data`: one format out of every layout, and nothing out of bad input."""

import json
import shutil

import pytest
from PIL import Image

from kd.errors import InputError
from kd.files import digest


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def annotations(prepared, split):
    return json.loads((prepared / split / "annotations.json").read_text())


def summary(prepared):
    return json.loads((prepared / "summary.json").read_text())


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


def test_summary(write, data, prepare):
    found = summary(prepare(write["coco"](data)))
    assert found["classes"] == ["cat", "dog"]
    assert found["splits"]["train"] == {
        "pictures": 4,
        "boxes": 4,
        "per_class": {"cat": 2, "dog": 2},
        "empty_pictures": 1,
        "width": [32, 36.0, 64],
        "height": [20, 32.0, 64],
        "box_side": [7.07, 16.87, 22.63],
    }
    assert found["dropped"] == []
    assert found["image_size"] == 128


def test_anchors_are_fitted_to_the_square_input(write, data, prepare):
    # there are fewer boxes than anchors, so each box, scaled to a long side of 128, is an anchor
    found = summary(prepare(write["coco"](data), "data.image_size=128"))["anchors"]["yolov3-tiny"]
    fitted = [anchor for group in found.values() for anchor in group]
    for size in ([32, 16], [64, 32], [32, 64], [48, 32]):
        assert size in fitted


def test_crowds_are_kept_but_neither_counted_nor_fitted(write, data, prepare, edit):
    folder = write["coco"](data)
    plain = summary(prepare(folder))

    def add_crowd(content):
        content["annotations"].append({"id": 50, "image_id": 9, "category_id": 3, "bbox": [0, 0, 32, 3], "iscrowd": 1})

    edit(folder / "train" / "annotations.json", add_crowd)
    prepared = prepare(folder)
    assert [a["iscrowd"] for a in annotations(prepared, "train")["annotations"]] == [0, 0, 0, 1, 0]
    assert {**summary(prepared), "digest": None} == {**plain, "digest": None}


def test_published_anchors_scale_with_the_input(write, data, prepare):
    found = summary(prepare(write["coco"](data), "data.anchors=coco", "data.image_size=416"))
    assert found["anchors"]["yolov3"]["8"] == [[10, 13], [16, 30], [33, 23]]


def test_the_digest_is_that_of_labels_and_pictures(write, data, prepare, run, tmp_path):
    prepared = prepare(write["coco"](data))
    found = summary(prepared)["digest"]
    for name in ("summary.json", "preview.jpg"):
        (prepared / name).unlink()
    assert found == digest(prepared)
    assert run.of("dataset") == [(str(tmp_path / "coco"), str(tmp_path / "coco"), found, "data")]


def test_records_counts_and_a_preview(write, data, prepare, run):
    prepared = prepare(write["coco"](data))
    assert run.of("metrics")[0][0] == {
        "train_pictures": 4, "train_boxes": 4, "val_pictures": 1, "val_boxes": 1, "test_pictures": 2, "test_boxes": 2,
    }  # fmt: skip
    assert run.of("artifact") == [("preview.jpg",)]
    with Image.open(prepared / "preview.jpg") as preview:
        assert preview.size == (4 * 320, 320)


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


def test_boxes_without_area_are_left_out_with_a_warning(write, data, prepare, edit, capsys):
    folder = write["coco"](data)
    edit(folder / "train" / "annotations.json", lambda content: content["annotations"][0].update(bbox=[3, 3, 0, 5]))
    found = summary(prepare(folder))
    assert found["dropped"] == ["a.jpg, annotation 0: bbox [3, 3, 0, 5] has no area; left out, redraw or remove it"]
    assert found["splits"]["train"]["boxes"] == 3
    assert f"warning: {found['dropped'][0]}\n" in capsys.readouterr().err


def test_many_warnings_are_cut_short_but_all_are_kept(write, data, prepare, capsys):
    data["train"]["c"] = (32, 32, [(0, 40, 2, 8, 8)] * 25)
    assert len(summary(prepare(write["coco"](data)))["dropped"]) == 25
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "warning: and 15 more, all in summary.json"


def truncate(file):
    file.write_bytes(file.read_bytes()[:-200])


def rename(file):
    file.rename(file.with_name("other.jpg"))


def fill_with_text(file):
    file.write_text("no picture")


def empty(file):
    file.write_bytes(b"")


def make_folder(file):
    file.unlink()
    file.mkdir()


def resize(file):
    Image.new("RGB", (41, 20)).save(file)


def bomb(file):
    # only the header claims the size, as an attacker's file would
    content = bytearray(file.read_bytes())
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = (60000).to_bytes(2) * 2
    file.write_bytes(content)


def disguise(file):
    Image.new("RGB", (40, 20)).save(file, "EPS")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (rename, "a.jpg: the picture is missing"),
        (make_folder, "a.jpg: the picture is missing"),
        (truncate, "a.jpg: the picture cannot be decoded (image file is truncated"),
        (fill_with_text, "a.jpg: the picture cannot be decoded (of no known format)"),
        (disguise, "a.jpg: the picture cannot be decoded (of no known format)"),
        (empty, "a.jpg: the picture cannot be decoded"),
        (bomb, "a.jpg: the picture cannot be decoded (Image size (3600000000 pixels) exceeds limit"),
        (resize, "annotations.json: width and height of a.jpg are declared as 40x20, but it shows 41x20"),
    ],
)
def test_bad_pictures_stop_it_and_leave_nothing(write, data, prepare, tmp_path, damage, words):
    folder = write["coco"](data)
    damage(folder / "train" / "images" / "a.jpg")
    with pytest.raises(InputError) as error:
        prepare(folder)
    assert words in str(error.value)
    assert str(error.value).count("; ") == 1
    assert list((tmp_path / "out").iterdir()) == []


def no_test(folder):
    shutil.rmtree(folder / "test")


def no_annotations(folder):
    for split in ("train", "val", "test"):
        (folder / split / "annotations.json").unlink()


def break_json(folder):
    (folder / "val" / "annotations.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "changes", "words"),
    [
        (no_annotations, (), "holds no COCO, VOC or YOLO labels"),
        (break_json, (), "val/annotations.json: is not JSON"),
        (no_test, ("data.test=0.0",), "data.path: gives no test pictures"),
        (shutil.rmtree, (), "is no folder"),
        (lambda folder: None, ("data.layout=voc",), "holds no voc labels"),
        (lambda folder: None, ("data.layout=pascal",), "parameter 'data.layout' is 'pascal'"),
        (lambda folder: None, ("data.vall=0.1",), "'data.vall=0.1' names no parameter"),
        (lambda folder: None, ("data.val=many",), "parameter 'data.val' is 'many'"),
    ],
)
def test_bad_data_stop_it_and_leave_nothing(write, data, prepare, tmp_path, damage, changes, words):
    folder = write["coco"](data)
    damage(folder)
    with pytest.raises(InputError) as error:
        prepare(folder, *changes)
    assert words in str(error.value)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_a_class_without_boxes_stops_it(write, data, prepare, tmp_path):
    data["train"]["a"] = (40, 20, [(0, 0, 0, 10, 5)])
    data["train"]["b"] = (32, 64, [])
    with pytest.raises(InputError, match="class 'dog' has no box in the training pictures"):
        prepare(write["coco"](data))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failure_keeps_the_output_of_before(write, data, prepare):
    folder = write["coco"](data)
    before = contents(prepare(folder))
    truncate(folder / "test" / "images" / "f.jpg")
    with pytest.raises(InputError):
        prepare(folder)
    assert contents(folder.parent / "out" / "prepared") == before
