"""What the step `prepare_data` tells of the data: in its summary, in MLflow, and in warnings."""

from PIL import Image

from kd.files import digest
from tests.components.prepared import annotations, summary


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


def test_published_anchors_scale_with_the_input(write, data, prepare):
    found = summary(prepare(write["coco"](data), "data.anchors=coco", "data.image_size=416"))
    assert found["anchors"]["yolov3"]["8"] == [[10, 13], [16, 30], [33, 23]]


def test_crowds_are_kept_but_neither_counted_nor_fitted(write, data, prepare, edit):
    folder = write["coco"](data)
    plain = summary(prepare(folder))

    def add_crowd(content):
        content["annotations"].append({"id": 50, "image_id": 9, "category_id": 3, "bbox": [0, 0, 32, 3], "iscrowd": 1})

    edit(folder / "train" / "annotations.json", add_crowd)
    prepared = prepare(folder)
    assert [a["iscrowd"] for a in annotations(prepared, "train")["annotations"]] == [0, 0, 0, 1, 0]
    assert {**summary(prepared), "digest": None} == {**plain, "digest": None}


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
