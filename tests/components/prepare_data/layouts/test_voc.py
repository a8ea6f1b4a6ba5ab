"""The VOC reader: how XML files, pictures and lists belong together, and what it reports or rejects."""

import shutil

import pytest

from components.prepare_data.layouts import voc
from kd.errors import InputError


def test_text_files_in_a_folder_named_labels_do_not_match(tmp_path):
    for file in ("labels/a.txt", "labels/._a.xml", "JPEGImages/a.jpg"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert not voc.matches(tmp_path)


def test_two_lists_of_a_split_are_rejected(writers, data):
    folder = writers["voc"](data)
    shutil.copy(folder / "ImageSets" / "Main" / "val.txt", folder / "ImageSets" / "Main" / "valid.txt")
    with pytest.raises(InputError, match=r"valid\.txt: is a second list of val"):
        voc.read(folder)


@pytest.mark.parametrize(("name", "doubtful"), [("", False), ("renamed.jpg", True)])
def test_a_picture_is_found_by_the_name_of_the_xml_file(writers, data, name, doubtful):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace("a.jpg", name))
    dataset = voc.read(folder)
    assert dataset.splits["train"][0].path == folder / "JPEGImages" / "a.jpg"
    assert [finding.check for finding in dataset.findings] == ["pictures under another name"] * doubtful


def test_a_missing_picture_is_rejected(writers, data):
    folder = writers["voc"](data)
    (folder / "JPEGImages" / "b.jpg").unlink()
    with pytest.raises(InputError, match=r"JPEGImages/b\.jpg: the picture is missing"):
        voc.read(folder)


def test_two_xml_files_of_a_picture_are_rejected(writers, data):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "b.xml"
    file.write_text(file.read_text().replace("b.jpg", "a.jpg"))
    with pytest.raises(InputError, match=r"b\.xml: filename 'a\.jpg' is also the picture of a\.xml"):
        voc.read(folder)


def test_pictures_without_an_xml_file_are_reported(writers, data):
    folder = writers["voc"](data)
    for file in (folder / "ImageSets" / "Main").iterdir():
        file.unlink()
    (folder / "Annotations" / "c.xml").unlink()
    (finding,) = voc.read(folder).findings
    assert (finding.check, finding.count, finding.examples) == ("unlisted pictures", 1, ["c.jpg"])


def test_xml_files_without_objects_are_rejected(writers, data):
    folder = writers["voc"]({"train": {"c": data["train"]["c"]}})
    with pytest.raises(InputError, match=r"Annotations: contains no XML file of a picture that has an object with a box"):
        voc.read(folder)


@pytest.mark.parametrize(
    ("lines", "words"),
    [("a\nb\na\n", "lists a.xml 2 times"), ("../../a\n", "is not a path inside the data folder"), ("missing\n", "missing.xml: is missing")],
)
def test_invalid_lists_are_rejected(writers, data, lines, words):
    folder = writers["voc"](data)
    (folder / "ImageSets" / "Main" / "train.txt").write_text(lines)
    with pytest.raises(InputError) as error:
        voc.read(folder)
    assert words in str(error.value)


def test_a_list_that_is_not_text_is_rejected(writers, data):
    folder = writers["voc"](data)
    (folder / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"train\.txt: is not UTF-8"):
        voc.read(folder)


@pytest.mark.parametrize("name", ["train", "trainval"])
def test_an_empty_list_of_training_pictures_is_rejected(writers, data, name):
    folder = writers["voc"](data)
    (folder / "ImageSets" / "Main" / "train.txt").unlink()
    (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("\n")
    with pytest.raises(InputError, match=rf"Main/{name}\.txt: is empty; list the training pictures"):
        voc.read(folder)


def test_a_picture_in_two_spellings_in_a_list_is_rejected(writers, data):
    folder = writers["voc"](data)
    (folder / "ImageSets" / "Main" / "train.txt").write_text("a\nb\na.jpg\n")
    with pytest.raises(InputError, match=r"train\.txt: lists a\.xml 2 times; list every picture once"):
        voc.read(folder)


def test_xml_files_and_pictures_in_no_list_are_reported(writers, data):
    folder = writers["voc"](data)
    (folder / "ImageSets" / "Main" / "train.txt").write_text("a\nb\n")
    (folder / "Annotations" / "d.xml").unlink()
    unlisted_xml, unlisted_pictures = voc.read(folder).findings[::-1]
    assert (unlisted_xml.check, unlisted_xml.examples) == ("unlisted label files", ["c.xml"])
    assert (unlisted_pictures.check, unlisted_pictures.examples) == ("unlisted pictures", ["c.jpg", "d.jpg"])


def test_pictures_in_folders_for_classes_may_have_equal_names(writers, data):
    folder = writers["voc"](data)
    shutil.rmtree(folder / "ImageSets")
    for name, kind in (("a", "cat"), ("b", "dog")):
        for part, suffix in (("Annotations", "xml"), ("JPEGImages", "jpg")):
            (folder / part / kind).mkdir()
            (folder / part / f"{name}.{suffix}").rename(folder / part / kind / f"1.{suffix}")
        file = folder / "Annotations" / kind / "1.xml"
        file.write_text(file.read_text().replace(f"{name}.jpg", "1.jpg"))
    pictures = {p.label_file.parent.name: p.path.parent.name for p in voc.read(folder).splits["train"] if p.path.name == "1.jpg"}
    assert pictures == {"cat": "cat", "dog": "dog"}
