"""The YOLO reader: the folder structures that it supports, and the errors that it reports."""

import os
import shutil
import unicodedata

import pytest
import yaml
from PIL import Image

from components.prepare_data.layouts import yolo
from kd.errors import InputError


def names(dataset):
    return {split: [p.path.stem for p in pictures] for split, pictures in dataset.splits.items()}


EVERYTHING = {"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["f", "g"]}


@pytest.fixture
def folder(writers, data):
    return writers["yolo"](data)


@pytest.fixture
def edit_yaml(folder):
    """Change entries of data.yaml; None removes an entry."""

    def edit(**changes):
        content = {**yaml.safe_load((folder / "data.yaml").read_text()), **changes}
        (folder / "data.yaml").write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))

    return edit


@pytest.mark.parametrize("classes", [["cat", "dog"], {0: "cat", 1: "dog"}])
def test_names_are_a_list_or_a_mapping(folder, edit_yaml, classes):
    edit_yaml(names=classes)
    dataset = yolo.read(folder)
    assert dataset.classes == ["cat", "dog"]
    assert names(dataset) == EVERYTHING


def test_fractions_are_converted_to_pixels(folder, data):
    boxes = {p.path.stem: [(b.label, b.x, b.y, b.w, b.h) for b in p.boxes] for p in yolo.read(folder).splits["train"]}
    assert boxes == {name: [pytest.approx(box) for box in boxes] for name, (_, _, boxes) in data["train"].items()}


def test_folders_are_found_without_entries_in_the_yaml(folder, edit_yaml):
    edit_yaml(train=None, val=None, test=None)
    assert names(yolo.read(folder)) == EVERYTHING


def test_a_path_inside_the_folder_is_used(folder, edit_yaml):
    (folder / "inner").mkdir()
    for name in ("images", "labels"):
        (folder / name).rename(folder / "inner" / name)
    edit_yaml(path="inner")
    assert names(yolo.read(folder)) == EVERYTHING


def test_reads_the_structure_of_roboflow(folder, edit_yaml):
    for kind in ("images", "labels"):
        for split, target in (("train", "train"), ("val", "valid"), ("test", "test")):
            (folder / target).mkdir(exist_ok=True)
            (folder / kind / split).rename(folder / target / kind)
    edit_yaml(train="../train/images", val="../valid/images", test="../test/images")
    dataset = yolo.read(folder)
    assert names(dataset) == EVERYTHING
    assert sum(len(p.boxes) for pictures in dataset.splits.values() for p in pictures) == 7


def test_reads_pictures_from_text_files(folder, edit_yaml):
    (folder / "train.txt").write_text("./images/train/d.jpg\nimages/train/a.jpg\n")
    edit_yaml(train="train.txt")
    assert names(yolo.read(folder))["train"] == ["a", "d"]


def test_a_picture_without_a_label_file_has_no_boxes(folder):
    (folder / "labels" / "train" / "a.txt").unlink()
    assert yolo.read(folder).splits["train"][0].boxes == []


def test_reads_pictures_without_split_folders(folder, edit_yaml):
    for kind in ("images", "labels"):
        for split in EVERYTHING:
            for file in (folder / kind / split).iterdir():
                file.rename(folder / kind / file.name)
            (folder / kind / split).rmdir()
    edit_yaml(train=None, val=None, test=None)
    assert names(yolo.read(folder)) == {"train": list("abcdefg")}


def test_numbers_outside_0_to_1_by_rounding_are_accepted(folder):
    (folder / "labels" / "train" / "a.txt").write_text("0 -0.0000005 0.5 0.2 0.2\n1 0.5 0.5002185 1 1.000437\n")
    first, second = yolo.read(folder).splits["train"][0].boxes
    assert (first.x, second.h) == pytest.approx((-0.00002 - 4, 20.00874))


def test_a_polygon_is_converted_to_its_box(folder):
    (folder / "labels" / "train" / "a.txt").write_text("1 0.1 0.2 0.5 0.1 0.3 0.9\n0 0 0 0.5 0 0.5 1 0 1\n")
    boxes = yolo.read(folder).splits["train"][0].boxes
    assert [(b.label, b.x, b.y, b.w, b.h) for b in boxes] == [(1, 4, 2, 16, pytest.approx(16)), (0, 0, 0, 20, 20)]


def test_key_points_after_the_box_are_ignored(folder, edit_yaml):
    edit_yaml(kpt_shape=[2, 3])
    (folder / "labels" / "train" / "a.txt").write_text("1 0.5 0.5 0.5 0.5 0.1 0.1 2 0.9 0.9 2\n")
    (box,) = yolo.read(folder).splits["train"][0].boxes
    assert (box.x, box.y, box.w, box.h) == (10, 5, 20, 10)


def test_a_byte_order_mark_is_ignored(folder):
    before = yolo.read(folder)
    for file in (folder / "data.yaml", folder / "labels" / "train" / "a.txt"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert yolo.read(folder) == before


@pytest.mark.parametrize("suffix", [".jfif", ".JPG", ".webp", ".tiff"])
def test_reads_other_picture_formats(folder, suffix):
    Image.new("RGB", (40, 20)).save((folder / "images" / "train" / "a").with_suffix(suffix))
    (folder / "images" / "train" / "a.jpg").unlink()
    dataset = yolo.read(folder)
    assert names(dataset) == EVERYTHING
    assert len(dataset.splits["train"][0].boxes) == 2


def test_hidden_files_are_ignored(folder):
    before = yolo.read(folder)
    for kind, suffix in (("images", "jpg"), ("labels", "txt")):
        for hidden in (f"._a.{suffix}", f".ipynb_checkpoints/a-checkpoint.{suffix}", f"__MACOSX/a.{suffix}", ".DS_Store", "Thumbs.db"):
            file = folder / kind / "train" / hidden
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"\0\5\26\7")
    assert yolo.read(folder) == before


def test_the_size_of_a_damaged_picture_is_unknown(folder):
    (folder / "images" / "train" / "a.jpg").write_bytes(b"no picture")
    picture = yolo.read(folder).splits["train"][0]
    assert (picture.width, picture.height, picture.boxes) == (0, 0, [])


def test_labels_beside_pictures_are_read_and_reported(folder):
    before = yolo.read(folder)
    for name in "ad":
        (folder / "labels" / "train" / f"{name}.txt").rename(folder / "images" / "train" / f"{name}.txt")
    (folder / "images" / "train" / "notes.txt").write_text("these pictures are from May\n")
    dataset = yolo.read(folder)
    assert [p.boxes for p in dataset.splits["train"]] == [p.boxes for p in before.splits["train"]]
    (finding,) = dataset.findings
    assert (finding.check, finding.count, finding.examples) == ("labels beside pictures", 2, ["a.txt", "d.txt"])


def test_all_labels_may_be_beside_pictures(folder):
    before = yolo.read(folder)
    for split in EVERYTHING:
        for file in (folder / "labels" / split).iterdir():
            file.rename(folder / "images" / split / file.name)
    shutil.rmtree(folder / "labels")
    dataset = yolo.read(folder)
    assert [p.boxes for p in dataset.splits["train"]] == [p.boxes for p in before.splits["train"]]
    assert [(finding.check, finding.count) for finding in dataset.findings] == [("labels beside pictures", 7)]


def test_equal_labels_at_both_places_are_accepted_and_different_ones_rejected(folder):
    before = yolo.read(folder)
    beside = folder / "images" / "train" / "a.txt"
    beside.write_text((folder / "labels" / "train" / "a.txt").read_text().replace("\n", "  \r\n"))
    assert yolo.read(folder) == before
    beside.write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(InputError, match=r"images/train/a\.txt: and .*labels/train/a\.txt are different labels of one picture"):
        yolo.read(folder)


def test_labels_beside_pictures_without_a_picture_are_rejected(folder):
    (folder / "images" / "train" / "zebra.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(InputError, match=r"images/train/zebra\.txt: has no picture"):
        yolo.read(folder)


def test_a_missing_label_folder_is_reported_with_the_places(folder):
    (folder / "labels").rename(folder / "label")
    with pytest.raises(InputError) as error:
        yolo.read(folder)
    assert "images/train: has 4 pictures without any label file; looked for" in str(error.value)
    assert all(place in str(error.value) for place in ("labels/train/a.txt", "images/train/a.txt"))


def test_pictures_without_a_label_file_are_reported(folder):
    for name in ("train/a", "test/f"):
        (folder / "labels" / f"{name}.txt").unlink()
    (finding,) = yolo.read(folder).findings
    assert (finding.check, finding.count, finding.examples) == ("pictures without labels", 2, ["a.jpg", "f.jpg"])


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_labels_may_be_in_another_unicode_normalization(folder, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    picture, label = (unicodedata.normalize(name_form, "caf\u00e9") for name_form in (form, other))
    (folder / "images" / "train" / "a.jpg").rename(folder / "images" / "train" / f"{picture}.jpg")
    (folder / "labels" / "train" / "a.txt").rename(folder / "labels" / "train" / f"{label}.txt")
    dataset = yolo.read(folder)
    assert sum(len(p.boxes) for p in dataset.splits["train"]) == 4
    assert dataset.findings == []


@pytest.mark.parametrize("name", ["dataset.yaml", "data.yml"])
def test_other_names_of_the_yaml_are_read(folder, name):
    before = yolo.read(folder)
    (folder / "data.yaml").rename(folder / name)
    assert yolo.read(folder) == before


def test_two_yaml_files_are_rejected(folder):
    shutil.copy(folder / "data.yaml", folder / "dataset.yaml")
    with pytest.raises(InputError, match=r"data\.yaml: is beside dataset\.yaml; keep one of them"):
        yolo.read(folder)


@pytest.mark.parametrize("file", ["classes.txt", "labels/classes.txt", "obj.names"])
def test_reads_an_export_of_label_studio(folder, file):
    before = yolo.read(folder)
    (folder / "data.yaml").unlink()
    (folder / file).write_bytes(b"\xef\xbb\xbfcat\r\ndog\r\n")
    (folder / "notes.json").write_text("{}")
    assert yolo.read(folder) == before
    for kind in ("images", "labels"):
        for split in EVERYTHING:
            for entry in (folder / kind / split).iterdir():
                entry.rename(folder / kind / entry.name)
            (folder / kind / split).rmdir()
    dataset = yolo.read(folder)
    assert names(dataset) == {"train": list("abcdefg")}
    assert dataset.findings == []


def test_reads_pictures_and_labels_in_one_folder_with_a_list_of_classes(folder):
    for kind in ("images", "labels"):
        for file in (folder / kind / "train").iterdir():
            file.rename(folder / file.name)
        shutil.rmtree(folder / kind)
    (folder / "data.yaml").unlink()
    (folder / "classes.txt").write_text("cat\ndog\n")
    dataset = yolo.read(folder)
    assert names(dataset) == {"train": list("abcd")}
    assert sum(len(p.boxes) for p in dataset.splits["train"]) == 4
    assert dataset.findings == []


def test_reads_an_export_of_roboflow_in_darknet_format(folder):
    before = yolo.read(folder)
    for kind in ("images", "labels"):
        for split, target in (("train", "train"), ("val", "valid"), ("test", "test")):
            (folder / target).mkdir(exist_ok=True)
            for file in (folder / kind / split).iterdir():
                file.rename(folder / target / file.name)
        shutil.rmtree(folder / kind)
    (folder / "data.yaml").unlink()
    for target in ("train", "valid", "test"):
        (folder / target / "_darknet.labels").write_text("cat\ndog\n")
    dataset = yolo.read(folder)
    assert names(dataset) == EVERYTHING
    assert [p.boxes for p in dataset.splits["train"]] == [p.boxes for p in before.splits["train"]]
    assert dataset.findings == []


def test_a_list_of_classes_without_labels_does_not_match(tmp_path, write_picture):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    write_picture(tmp_path / "images" / "a.jpg", 8, 8)
    assert not yolo.matches(tmp_path)


def write_darknet(folder, prefix="data/"):
    """Turn the train and val splits of `folder` into an export of CVAT in YOLO 1.1 format."""
    for split, subset in (("train", "train"), ("val", "valid")):
        target = folder / f"obj_{subset}_data"
        target.mkdir()
        for kind in ("images", "labels"):
            for file in (folder / kind / split).iterdir():
                file.rename(target / file.name)
        lines = [f"{prefix}obj_{subset}_data/{file.name}\n" for file in sorted(target.glob("*.jpg"))]
        (folder / f"{subset}.txt").write_text("".join(lines))
    for name in ("images", "labels"):
        shutil.rmtree(folder / name)
    (folder / "data.yaml").unlink()
    (folder / "obj.names").write_text("cat\ndog\n")
    lines = ["classes = 2", f"train = {prefix}train.txt", f"valid = {prefix}valid.txt", f"names = {prefix}obj.names", "backup = backup/"]
    (folder / "obj.data").write_text("\n".join(lines))


@pytest.mark.parametrize("prefix", ["data/", "", "/home/someone/export/"])
def test_reads_an_export_of_cvat_in_darknet_format(folder, prefix):
    before = yolo.read(folder)
    write_darknet(folder, prefix)
    dataset = yolo.read(folder)
    assert dataset.classes == ["cat", "dog"]
    assert names(dataset) == {split: EVERYTHING[split] for split in ("train", "val")}
    assert [p.boxes for p in dataset.splits["train"]] == [p.boxes for p in before.splits["train"]]
    assert [finding.check for finding in dataset.findings] == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("obj.data", "train", "obj.data: line 1 is 'train', not `key = value`"),
        ("obj.data", "train = nowhere.txt\n", "obj.data: the list .*nowhere.txt of train is missing"),
        ("obj.data", "train = train.txt\nnames = other.names\n", "obj.data: names the file 'other.names' .* is missing"),
        ("obj.names", "cat\ncat\n", "obj.names: the list contains the class name 'cat' twice"),
        ("obj.names", "", "obj.names: the list is empty"),
        ("train.txt", "obj_train_data/zebra.jpg\n", r"zebra\.jpg: the picture is missing"),
        ("train.txt", "x/zebra.jpg\nx/horse.jpg\n", r"train\.txt: lists 2 pictures, such as 'x/zebra\.jpg', but none of them is in"),
    ],
)
def test_an_invalid_export_in_darknet_format_is_rejected(folder, name, content, words):
    write_darknet(folder)
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=words):
        yolo.read(folder)


@pytest.mark.parametrize("prefix", ["", "data/", "/content/dataset/", "D:\\dataset\\"])
def test_reads_an_export_of_cvat_in_ultralytics_format(folder, edit_yaml, prefix):
    before = yolo.read(folder)
    (folder / "train.txt").write_text(
        "".join(f"{prefix}images/train/{name}.jpg\n" for name in "dabc").replace("/", "\\" if ":" in prefix else "/")
    )
    edit_yaml(path="./", train="train.txt", val="images/val/", test="./images/test")
    assert yolo.read(folder) == before


def test_absolute_paths_are_found_by_their_end(folder, edit_yaml):
    before = yolo.read(folder)
    edit_yaml(train="/content/mine/images/train", val="C:\\mine\\images\\val", test="mine/images/test")
    assert yolo.read(folder) == before


@pytest.mark.parametrize("test", ["../test/images", "/content/mine/test/images", "test/images"])
def test_a_missing_split_is_reported(folder, edit_yaml, test):
    shutil.rmtree(folder / "images" / "test")
    shutil.rmtree(folder / "labels" / "test")
    edit_yaml(test=test)
    dataset = yolo.read(folder)
    assert names(dataset) == {"train": EVERYTHING["train"], "val": EVERYTHING["val"]}
    assert [(finding.check, finding.examples) for finding in dataset.findings] == [("missing splits", [f"test: {test}"])]


def test_a_train_folder_without_pictures_is_rejected(folder):
    for file in (folder / "images" / "train").iterdir():
        file.rename(file.with_suffix(".gif"))
    shutil.rmtree(folder / "labels" / "train")
    with pytest.raises(InputError, match=r"images/train: contains no pictures; add pictures, or correct `train` of data\.yaml"):
        yolo.read(folder)


@pytest.mark.parametrize("inner", ["images/train", "labels/train"])
def test_linked_folders_inside_the_dataset_are_followed(folder, inner):
    before = yolo.read(folder)
    (folder / "elsewhere").mkdir()
    (folder / inner).rename(folder / "elsewhere" / "target")
    (folder / inner).symlink_to("../elsewhere/target")
    assert yolo.read(folder) == before


def test_linked_folders_in_the_cache_of_dvc_are_followed(folder, tmp_path):
    before = yolo.read(folder)
    cache = tmp_path / "cache" / "files" / "md5" / "ab" / "cdef.dir"
    cache.parent.mkdir(parents=True)
    (folder / "images" / "train").rename(cache)
    (folder / "images" / "train").symlink_to(cache)
    assert yolo.read(folder) == before


def test_links_out_of_the_dataset_and_loops_are_rejected(folder, tmp_path):
    (folder / "images" / "train" / "again").symlink_to(folder / "images")
    with pytest.raises(InputError, match=r"images/train/again: is a link to the folder .*images, which contains it; remove the link"):
        yolo.read(folder)
    (folder / "images" / "train" / "again").unlink()
    (folder / "images" / "train").rename(tmp_path / "pictures")
    (folder / "images" / "train").symlink_to(tmp_path / "pictures")
    with pytest.raises(InputError, match=r"images/train: is a link to .*pictures, which is outside of .*yolo"):
        yolo.read(folder)


def test_a_link_to_nothing_is_rejected(folder):
    (folder / "labels" / "train" / "a.txt").unlink()
    (folder / "labels" / "train" / "a.txt").symlink_to("/nowhere/a.txt")
    with pytest.raises(InputError, match=r"labels/train/a\.txt: is a link to /nowhere/a\.txt, which is missing"):
        yolo.read(folder)


def test_a_link_that_was_unpacked_as_text_is_rejected(folder):
    (folder / "elsewhere").mkdir()
    (folder / "images" / "train" / "camera").write_text("../../elsewhere")
    with pytest.raises(InputError, match=r"images/train/camera: is a text file that names the folder \.\./\.\./elsewhere, a link that git"):
        yolo.read(folder)


def test_the_dataset_may_be_the_working_folder_and_below_a_folder_named_images(folder, tmp_path, monkeypatch):
    before = yolo.read(folder)
    (tmp_path / "images").mkdir()
    moved = folder.rename(tmp_path / "images" / "mine")
    assert [p.boxes for p in yolo.read(moved).splits["train"]] == [p.boxes for p in before.splits["train"]]
    monkeypatch.chdir(moved)
    dataset = yolo.read(type(moved)("."))
    assert [p.boxes for p in dataset.splits["train"]] == [p.boxes for p in before.splits["train"]]
    assert [os.fspath(p.path) for p in dataset.splits["val"]] == ["images/val/e.jpg"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.2", "is '0 0.5 0.5 0.2', not five numbers"),
        ("0 0.5 0.5 0.2 0.2 0.9", "not five numbers"),
        ("cat 0.5 0.5 0.2 0.2", "not five numbers"),
        ("2 0.5 0.5 0.2 0.2", "has the class 2"),
        ("-1 0.5 0.5 0.2 0.2", "has the class -1"),
        ("0.5 0.5 0.5 0.2 0.2", "has the class 0.5"),
        ("nan 0.5 0.5 0.2 0.2", "has the class nan"),
        ("0 120 85 40 40", "a number outside 0 to 1"),
        ("0 nan 0.5 0.2 0.2", "a number outside 0 to 1"),
        ("0 0.5 0.5 0.2 inf", "a number outside 0 to 1"),
        ("0 0.5 0.5 1.06 0.2", "a number outside 0 to 1"),
        ("0 0.1 0.1 0.2 0.1 0.1", "not five numbers"),
        ("0 0.1 0.1 0.2 0.1 0.1 0.2 0.3", "not five numbers"),
        ("0 0.1 0.1 0.2 0.1 0.1 1.2", "a number outside 0 to 1"),
        ("0 0.5 0.5 -0.2 0.2", "a number outside 0 to 1"),
    ],
)
def test_invalid_lines_are_rejected(folder, line, words):
    file = folder / "labels" / "train" / "a.txt"
    file.write_text(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(InputError) as error:
        yolo.read(folder)
    assert str(error.value).startswith(f"{file}: line 2 ")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": None}, "names is None"),
        ({"names": "cat"}, "names is 'cat', not a list"),
        ({"names": ["cat", "cat"]}, "names contains the class name 'cat' twice"),
        ({"names": ["cat", 5]}, "names contains 5, which is not a class name"),
        ({"names": []}, "names is empty"),
        ({"names": {0: "cat", 2: "dog"}}, "names has the keys [0, 2]"),
        ({"train": None}, "has test and val, but no train; add the path of the training pictures"),
        ({"train": "images/nowhere"}, "images/nowhere of train is missing"),
        ({"train": {"a": 1}}, "train is {'a': 1}, not a path"),
        ({"train": "/somewhere/else"}, "train '/somewhere/else' is not a path inside the data folder"),
        ({"train": "../../images"}, "is not a path inside the data folder"),
    ],
)
def test_an_invalid_yaml_is_rejected(folder, edit_yaml, changes, words):
    edit_yaml(**changes)
    with pytest.raises(InputError) as error:
        yolo.read(folder)
    assert str(error.value).startswith(f"{folder / 'data.yaml'}: ")
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "", "- cat"])
def test_a_file_that_is_not_a_yaml_mapping_is_rejected(folder, text):
    (folder / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data\.yaml: (is not YAML|has no 'names'|is empty)"):
        yolo.read(folder)


def test_labels_without_a_picture_are_rejected(folder):
    (folder / "images" / "train" / "b.jpg").unlink()
    with pytest.raises(InputError, match=r"labels/train/b\.txt: has no picture"):
        yolo.read(folder)


def test_a_picture_in_an_unknown_format_is_rejected(folder):
    (folder / "images" / "train" / "b.jpg").rename(folder / "images" / "train" / "b.gif")
    with pytest.raises(InputError, match=r"labels/train/b\.txt: has no picture, but b\.gif; convert b\.gif to one of \.jpg, "):
        yolo.read(folder)


def test_a_missing_picture_in_a_text_file_is_rejected(folder, edit_yaml):
    (folder / "train.txt").write_text("images/train/zebra.jpg\n")
    edit_yaml(train="train.txt")
    with pytest.raises(InputError, match=r"zebra\.jpg: the picture is missing"):
        yolo.read(folder)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("names: {0: cat, 1: dog, 1: cow}", "line 1 repeats the key '1'"),
        ("names: [cat, dog]\ntrain: images/train\ntrain: images/val", "line 3 repeats the key 'train'"),
        ("names: [cat, dog]\nnc: 3", "nc is 3, but the number of class names is 2"),
        ("names: [cat, dog]\nnc: x", "nc is 'x', but the number of class names is 2"),
        ("names: [cat, dog]\ntrain: images/train\nval: {}", "val is {}, not a path"),
        ("names: [cat, dog]\ntrain: images/train\nval: 0", "val is 0, not a path"),
        ("names: [cat, dog]\nkpt_shape: 17", "kpt_shape is 17, not [points, 2 or 3]"),
        ("names: [cat, dog]\nkpt_shape: [17, 4]", "kpt_shape is [17, 4], not"),
        ("names: [cat, dog]\nkpt_shape: [0, 3]", "kpt_shape is [0, 3], not"),
        ("names: [cat, dog]\npath: 5", "path is 5, not a folder"),
        ("names: [cat, dog]\npath: []", "path is [], not a folder"),
        ("names: [cat, dog]\ntrain: images/train/a.jpg", "train is the picture "),
        ("names: " + "[" * 5000 + "]" * 5000, "is nested too deeply for YAML labels"),
        ("names: [cat, dog]\nnc: " + "9" * 5000, "contains an integer of thousands of digits"),
    ],
)
def test_what_other_readers_would_guess_is_rejected(folder, line, words):
    (folder / "data.yaml").write_text(f"{line}\n")
    with pytest.raises(InputError) as error:
        yolo.read(folder)
    assert str(error.value).startswith(f"{folder / 'data.yaml'}: ")
    assert words in str(error.value)


def test_empty_entries_of_the_yaml_are_ignored(folder):
    before = yolo.read(folder)
    content = {**yaml.safe_load((folder / "data.yaml").read_text()), "nc": 2, "path": None, "kpt_shape": None, "validation": ""}
    (folder / "data.yaml").write_text(yaml.safe_dump(content))
    assert yolo.read(folder) == before


def test_lines_have_the_number_of_key_points_of_the_yaml(folder, edit_yaml):
    edit_yaml(kpt_shape=[2, 3])
    (folder / "labels" / "train" / "a.txt").write_text("1 0.5 0.5 0.5 0.5 0.1 0.1 2\n")
    with pytest.raises(InputError, match=r"a\.txt: line 1 is .*, not five numbers, or five and 6 for the key points"):
        yolo.read(folder)


def test_a_picture_listed_twice_is_rejected(folder, edit_yaml):
    (folder / "train.txt").write_text("images/train/a.jpg\nimages/train/b.jpg\n./images/train/a.jpg\n")
    edit_yaml(train="train.txt")
    with pytest.raises(InputError, match=r"train\.txt: lists a\.jpg 2 times; list every picture once"):
        yolo.read(folder)


def test_pictures_in_no_split_are_reported(folder, edit_yaml):
    edit_yaml(test=None)
    (finding,) = yolo.read(folder).findings
    assert (finding.check, finding.examples) == ("unlisted pictures", ["f.jpg", "g.jpg"])


def test_the_number_of_classes_in_obj_data_is_checked(folder):
    write_darknet(folder)
    (folder / "obj.data").write_text((folder / "obj.data").read_text().replace("classes = 2", "classes = 3"))
    with pytest.raises(InputError, match=r"obj\.data: classes is '3', but the number of class names is 2"):
        yolo.read(folder)


def test_one_yaml_with_another_name_is_read(folder):
    before = yolo.read(folder)
    (folder / "data.yaml").rename(folder / "mine.yaml")
    (folder / "params.yaml").write_text("names: [cat]\n")
    assert yolo.read(folder) == before


@pytest.mark.parametrize(("classes", "valid"), [({"0": "cat", "1": "dog"}, True), ({0: "cat", "0": "dog"}, False)])
def test_quoted_class_numbers_are_read(folder, edit_yaml, classes, valid):
    (folder / "data.yaml").write_text(yaml.safe_dump({"names": classes}, sort_keys=False))
    if valid:
        assert yolo.read(folder).classes == ["cat", "dog"]
    else:
        with pytest.raises(InputError, match="names has the keys"):
            yolo.read(folder)
