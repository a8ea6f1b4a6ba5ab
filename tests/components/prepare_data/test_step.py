"""The step `prepare_data`: its output for every layout, what it records, and its warnings."""

import io
import shutil

import pytest
from PIL import Image

from kd.errors import InputError
from kd.files import digest
from tests.components.prepared import annotations, contents, summary
from tests.packed import packed


def test_all_layouts_give_the_same_output(writers, data, prepare):
    outputs = [contents(prepare(writers[layout](data), output=layout)) for layout in ("coco", "voc", "yolo")]
    assert outputs[0] == outputs[1] == outputs[2]


def test_writes_coco(writers, data, prepare):
    prepared = prepare(writers["coco"](data))
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


def test_pictures_are_sorted_by_name(writers, data, prepare):
    in_order = contents(prepare(writers["coco"](data)))
    backwards = {split: dict(reversed(pictures.items())) for split, pictures in data.items()}
    assert contents(prepare(writers["voc"](backwards))) == in_order


def test_pictures_are_copied_unchanged(writers, data, prepare):
    source = writers["coco"](data)
    prepared = prepare(source)
    for split in data:
        assert packed(prepared / split) == contents(source / split / "images")


def test_the_digest_is_that_of_older_releases(writers, data, prepare):
    """They kept the originals in folders `images`; a version that they registered stays one of the same data."""
    data["train"]["c"] = (160, 80, [])
    source = writers["coco"](data)
    prepared, before = prepare(source, "data.image_size=64"), source.parent / "before"
    for split in data:
        shutil.copytree(source / split / "images", before / split / "images")
        shutil.copy(prepared / split / "annotations.json", before / split)
    assert summary(prepared)["digest"] == digest(before) == summary(prepare(source, output="large"))["digest"]
    assert packed(prepared / "train")["c.jpg"] != (before / "train/images/c.jpg").read_bytes()


def test_prepared_data_are_no_dataset(writers, data, prepare):
    with pytest.raises(InputError, match=r"prepared: was written by prepare_data; set data.path to the folder with the original pictures"):
        prepare(prepare(writers["voc"](data)), output="again")


def test_val_is_empty_if_its_fraction_is_0(writers, data, prepare):
    del data["val"]
    prepared = prepare(writers["coco"](data), "data.val=0.0")
    assert annotations(prepared, "val")["images"] == []
    assert summary(prepared)["splits"]["val"]["pictures"] == 0
    assert len(annotations(prepared, "train")["images"]) == 4


def test_all_layouts_are_split_alike(writers, prepare):
    boxes = [(0, 2, 2, 8, 8), (1, 4, 4, 16, 16)]
    data = {"train": {f"p{i}": (32, 32, boxes) for i in range(40)}}
    cut = [prepare(writers[layout](data), output=layout) for layout in ("coco", "voc", "yolo")]
    assert contents(cut[0]) == contents(cut[1]) == contents(cut[2])
    sizes = {split: len(annotations(cut[0], split)["images"]) for split in ("train", "val", "test")}
    assert sum(sizes.values()) == 40
    assert min(sizes.values()) > 0


def test_pictures_with_the_same_name_in_different_folders_are_kept_apart(writers, data, prepare, edit_json, write_picture):
    folder = writers["coco"](data)
    write_picture(folder / "train" / "images" / "more" / "a.jpg", 50, 30)
    edit_json(
        folder / "train" / "annotations.json",
        lambda content: content["images"].append({"id": 99, "file_name": "more/a.jpg", "width": 50, "height": 30}),
    )
    prepared = prepare(folder)
    names = {image["file_name"]: image["width"] for image in annotations(prepared, "train")["images"]}
    assert sorted(width for name, width in names.items() if name.endswith("_a.jpg")) == [40, 50]
    assert {name for name in names if not name.endswith("_a.jpg")} == {"b.jpg", "c.jpg", "d.jpg"}
    pictures = packed(prepared / "train")
    assert set(names) == set(pictures)
    with Image.open(io.BytesIO(pictures[next(name for name, width in names.items() if width == 50)])) as image:
        assert image.size == (50, 30)


def test_the_exif_orientation_is_applied_to_the_size(writers, data, prepare, edit_json):
    folder = writers["coco"](data)
    file = folder / "train" / "images" / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(file) as image:
        image.load()
    image.save(file, exif=exif)
    with pytest.raises(InputError, match=r"width and height of a\.jpg are 40x20, but the picture has 20x40 pixels"):
        prepare(folder)
    edit_json(folder / "train" / "annotations.json", lambda content: content["images"][0].update(width=20, height=40))
    assert annotations(prepare(folder), "train")["images"][0]["height"] == 40


def test_links_into_the_dvc_cache_are_copied_as_files(writers, data, prepare):
    folder = writers["coco"](data)
    cache = folder.parent / "cache.bin"
    file = folder / "train" / "images" / "a.jpg"
    file.rename(cache)
    cache.chmod(0o444)
    file.symlink_to(cache)
    prepared = prepare(folder) / "train"
    assert packed(prepared)["a.jpg"] == cache.read_bytes()
    assert all(not file.is_symlink() and file.stat().st_mode & 0o200 for file in prepared.iterdir())


def test_records_counts_and_a_preview(writers, data, prepare, run):
    prepared = prepare(writers["coco"](data))
    assert run.of("metrics")[0][0] == {
        "train_pictures": 4, "train_boxes": 4, "val_pictures": 1, "val_boxes": 1, "test_pictures": 2, "test_boxes": 2, "warnings": 2,
    }  # fmt: skip
    assert run.of("artifact") == [("preview.jpg",)]
    with Image.open(prepared / "preview.jpg") as preview:
        assert preview.size == (4 * 320, 320)


def test_boxes_without_area_are_dropped_with_a_warning(writers, data, prepare, edit_json, capsys):
    folder = writers["coco"](data)
    edit_json(folder / "train" / "annotations.json", lambda content: content["annotations"][0].update(bbox=[3, 3, 0, 5]))
    found = summary(prepare(folder))
    assert found["dropped"] == ["a.jpg, annotation 0: bbox [3, 3, 0, 5] has no area; dropped, correct or remove it"]
    assert found["splits"]["train"]["boxes"] == 3
    assert f"warning: {found['dropped'][0]}\n" in capsys.readouterr().err


def test_only_the_first_ten_warnings_are_printed(writers, data, prepare, capsys):
    data["train"]["c"] = (32, 32, [(0, 40, 2, 8, 8)] * 25)
    assert len(summary(prepare(writers["coco"](data)))["dropped"]) == 25
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(lines) == 11
    assert lines[-1] == "warning: 15 more, see `dropped` in summary.json"


def test_unreadable_pictures_are_skipped_if_asked(writers, data, prepare, run, capsys):
    folder = writers["coco"](data)
    (folder / "train" / "images" / "a.jpg").write_text("no picture")
    prepared = prepare(folder, "data.skip_unreadable=true")
    assert "a.jpg" not in {image["file_name"] for image in annotations(prepared, "train")["images"]}
    assert "a.jpg" not in packed(prepared / "train") and len(packed(prepared / "train")) == 3
    (warning,) = (warning for warning in summary(prepared)["warnings"] if warning["check"] == "unreadable pictures")
    assert warning["count"] == 1 and warning["examples"] == ["a.jpg: it is not a picture of a known format"]
    assert f"  1 picture cannot be decoded; dropped ({warning['examples'][0]}); replace them\n" in capsys.readouterr().err
    (tag,) = (value for name, value in run.of("tag") if name == "kdflow.warnings")
    assert "picture cannot be decoded" in tag


def test_strict_data_must_not_be_doubtful(writers, data, prepare, tmp_path):
    with pytest.raises(InputError, match=r"data\.strict: rare classes: .*correct the data, or set data\.strict: false"):
        prepare(writers["coco"](data), "data.strict=true")
    assert list((tmp_path / "out").iterdir()) == []
