"""The content of `summary.json`."""

from kd.files import digest
from tests.components.prepared import annotations, summary
from tests.packed import unpack


def test_counts_and_sizes(writers, data, prepare):
    found = summary(prepare(writers["coco"](data)))
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


def test_anchors_are_fitted_to_the_square_input(writers, data, prepare):
    # with fewer boxes than anchors, each box is an anchor; the longer side of the pictures is scaled to 128
    found = summary(prepare(writers["coco"](data), "data.image_size=128"))["anchors"]["yolov3-tiny"]
    fitted = [anchor for group in found.values() for anchor in group]
    for size in ([32, 16], [64, 32], [32, 64], [48, 32]):
        assert size in fitted


def test_coco_anchors_scale_with_the_image_size(writers, data, prepare):
    found = summary(prepare(writers["coco"](data), "data.anchors=coco", "data.image_size=416"))
    assert found["anchors"]["yolov3"]["8"] == [[10, 13], [16, 30], [33, 23]]


def test_crowds_are_written_but_affect_neither_counts_nor_anchors(writers, data, prepare, edit_json):
    folder = writers["coco"](data)
    plain = summary(prepare(folder))

    def add_crowd(content):
        content["annotations"].append({"id": 50, "image_id": 9, "category_id": 3, "bbox": [0, 0, 32, 3], "iscrowd": 1})

    edit_json(folder / "train" / "annotations.json", add_crowd)
    prepared = prepare(folder)
    assert [a["iscrowd"] for a in annotations(prepared, "train")["annotations"]] == [0, 0, 0, 1, 0]
    assert {**summary(prepared), "digest": None} == {**plain, "digest": None}


def test_the_digest_covers_labels_and_pictures(writers, data, prepare, run, tmp_path):
    prepared = prepare(writers["coco"](data))
    found = summary(prepared)["digest"]
    for name in ("summary.json", "preview.jpg"):
        (prepared / name).unlink()
    for split in data:
        unpack(prepared / split)
    assert found == digest(prepared), "of the labels and the originals, not of the shards and their indices"
    assert run.of("dataset") == [(str(tmp_path / "coco"), str(tmp_path / "coco"), found, "data")]
