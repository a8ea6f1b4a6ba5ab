"""The VOC reader: its coordinates and split lists, and the errors that it reports."""

import shutil
import unicodedata
from xml.sax.saxutils import escape

import pytest
from PIL import Image

from components.prepare_data.layouts import voc
from kd.errors import InputError


def names(dataset):
    return {split: [p.path.stem for p in pictures] for split, pictures in dataset.splits.items()}


def test_coordinates_start_at_one_and_include_the_last_pixel(writers, data):
    folder = writers["voc"](data)
    (folder / "Annotations" / "e.xml").write_text(
        "<annotation><filename>e.jpg</filename><size><width>40</width><height>40</height></size><object><name>dog</name>"
        "<bndbox><xmin>1</xmin><ymin>3</ymin><xmax>40</xmax><ymax>3</ymax></bndbox></object></annotation>"
    )
    box = voc.read(folder).splits["val"][0].boxes[0]
    assert (box.label, box.x, box.y, box.w, box.h) == (1, 0, 2, 40, 1)


def test_splits_are_read_from_lists(writers, data):
    dataset = voc.read(writers["voc"](data))
    assert dataset.classes == ["cat", "dog"]
    assert names(dataset) == {"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["f", "g"]}


def test_trainval_replaces_a_missing_train_list(writers, data):
    folder = writers["voc"](data)
    lists = folder / "ImageSets" / "Main"
    (lists / "train.txt").unlink()
    (lists / "trainval.txt").write_text("a\nb\nc\nd\ne\n")
    assert names(voc.read(folder)) == {"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["f", "g"]}


def test_all_pictures_are_train_without_lists(writers, data):
    folder = writers["voc"](data)
    for file in (folder / "ImageSets" / "Main").iterdir():
        file.unlink()
    assert names(voc.read(folder)) == {"train": list("abcdefg")}


def test_difficult_objects_are_dropped_and_counted(writers, data):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace("<difficult>0", "<difficult>1", 1))
    dataset = voc.read(folder)
    assert [box.name for box in dataset.splits["train"][0].boxes] == ["object 2"]
    assert dataset.dropped == ["objects dropped, because they are marked as difficult: 1"]


def flatten(folder, target):
    """Move the XML files and pictures of `folder` to one folder per split, as Roboflow exports them."""
    for split in ("train", "val", "test"):
        (folder / target.format(split)).mkdir(parents=True)
        for name in (folder / "ImageSets" / "Main" / f"{split}.txt").read_text().split():
            (folder / "Annotations" / f"{name}.xml").rename(folder / target.format(split) / f"{name}.xml")
            (folder / "JPEGImages" / f"{name}.jpg").rename(folder / target.format(split) / f"{name}.jpg")
    for name in ("Annotations", "JPEGImages", "ImageSets"):
        shutil.rmtree(folder / name)


@pytest.mark.parametrize("target", ["{}", "images/{}"])
def test_reads_xml_files_beside_pictures_in_a_folder_per_split(writers, data, target):
    folder = writers["voc"](data)
    before = voc.read(folder)
    flatten(folder, target)
    dataset = voc.read(folder)
    assert names(dataset) == names(before)
    assert [p.boxes for p in dataset.splits["train"]] == [p.boxes for p in before.splits["train"]]


@pytest.mark.parametrize("target", [".", "images"])
def test_reads_xml_files_beside_pictures_in_one_folder(writers, data, target):
    folder = writers["voc"]({"train": data["train"]})
    (folder / "ImageSets" / "Main" / "train.txt").unlink()
    (folder / target).mkdir(exist_ok=True)
    for file in [*(folder / "Annotations").iterdir(), *(folder / "JPEGImages").iterdir()]:
        file.rename(folder / target / file.name)
    (folder / "Annotations").rmdir()
    (folder / "JPEGImages").rmdir()
    assert names(voc.read(folder)) == {"train": list("abcd")}


@pytest.mark.parametrize(
    ("xml", "pictures"),
    [("labels", "data"), ("annotations", "images"), ("annotations/xmls", "images"), ("Annotations", "images"), ("Annotations", ".")],
)
def test_reads_other_names_of_the_folders(writers, data, xml, pictures):
    folder = writers["voc"](data)
    (folder / xml).parent.mkdir(exist_ok=True)
    (folder / "Annotations").rename(folder / xml)
    for file in (folder / "JPEGImages").iterdir():
        (folder / pictures).mkdir(exist_ok=True)
        file.rename(folder / pictures / file.name)
    (folder / "JPEGImages").rmdir()
    assert names(voc.read(folder)) == {"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["f", "g"]}


def test_text_files_in_a_folder_named_labels_do_not_match(tmp_path):
    for file in ("labels/a.txt", "labels/._a.xml", "JPEGImages/a.jpg"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert not voc.matches(tmp_path)


def test_reads_the_lists_of_cvat(writers, data):
    folder = writers["voc"](data)
    lists = folder / "ImageSets" / "Main"
    for split, subset in (("train", "default"), ("val", "Validation"), ("test", "Test")):
        (lists / f"{split}.txt").rename(lists / f"{subset}.txt")
    (lists / "cat_train.txt").write_text("a 1\nb -1\n")
    assert names(voc.read(folder)) == {"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["f", "g"]}


def test_two_lists_of_a_split_are_rejected(writers, data):
    folder = writers["voc"](data)
    shutil.copy(folder / "ImageSets" / "Main" / "val.txt", folder / "ImageSets" / "Main" / "valid.txt")
    with pytest.raises(InputError, match=r"valid\.txt: is a second list of val"):
        voc.read(folder)


def test_lists_may_have_suffixes_and_a_byte_order_mark(writers, data):
    folder = writers["voc"](data)
    (folder / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\nb.xml\r\nJPEGImages/c.jpg\r\nD\r\n\r\n")
    assert names(voc.read(folder))["train"] == ["a", "b", "c", "d"]


def test_a_byte_order_mark_in_an_xml_file_is_ignored(writers, data):
    folder = writers["voc"](data)
    before = voc.read(folder)
    for file in (folder / "Annotations").iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert voc.read(folder) == before


@pytest.mark.parametrize(
    "size",
    ["", "<size/>", "<size><width>0</width><height>0</height></size>", "<size><width>40</width></size>", "<size><width/><height/></size>"],
)
def test_an_unknown_size_is_read_from_the_picture(writers, data, size):
    folder = writers["voc"](data)
    before = voc.read(folder)
    file = folder / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace("<size><width>40</width><height>20</height></size>", size))
    assert voc.read(folder) == before


def test_a_size_from_a_picture_has_the_exif_orientation_applied(writers, data):
    folder = writers["voc"](data)
    for file in (folder / "Annotations").iterdir():
        file.write_text(file.read_text().replace("<width>40<", "<width>0<"))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(folder / "JPEGImages" / "a.jpg", exif=exif)
    picture = voc.read(folder).splits["train"][0]
    assert (picture.width, picture.height) == (20, 40)


NFC, NFD = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("file_name", "found", "doubtful"),
    [
        ("", "a.jpg", False),
        ("a", "a.jpg", False),
        ("a.png", "a.jpg", False),
        ("A.JPG", "a.jpg", False),
        ("C:\\pictures\\a.jpg", "a.jpg", False),
        ("/home/someone/a.jpg", "a.jpg", False),
        (f"{NFD}.jpg", f"{NFC}.jpg", False),
        (f"{NFC}.jpg", f"{NFD}.jpg", False),
        ("renamed.jpg", "a.jpg", True),
        ("camera/a.jpg", "a.jpg", True),
    ],
)
def test_a_picture_is_found_in_another_spelling_or_by_the_name_of_the_xml_file(writers, data, file_name, found, doubtful):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace("a.jpg", escape(file_name)), encoding="utf-8")
    (folder / "JPEGImages" / "a.jpg").rename(folder / "JPEGImages" / found)
    dataset = voc.read(folder)
    assert dataset.splits["train"][0].path == folder / "JPEGImages" / found
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


@pytest.mark.parametrize("box", ["", "<bndbox/>"])
def test_an_object_without_a_box_is_skipped_and_counted(writers, data, box):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace("</annotation>", f"<object><name>dog</name>{box}</object></annotation>"))
    dataset = voc.read(folder)
    assert [b.name for b in dataset.splits["train"][0].boxes] == ["object 1", "object 2"]
    (finding,) = dataset.findings
    assert (finding.check, finding.count, finding.examples) == ("annotations without a box", 1, ["a.xml, object 3"])


def test_an_object_without_a_box_gets_the_box_around_its_polygon(writers, data):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    points = "<x1>3</x1><y1>4</y1><x2>9</x2><y2>4</y2><x3>5</x3><y3>11</y3>"
    file.write_text(file.read_text().replace("</annotation>", f"<object><name>dog</name><polygon>{points}</polygon></object></annotation>"))
    box = voc.read(folder).splits["train"][0].boxes[2]
    assert (box.label, box.x, box.y, box.w, box.h) == (1, 2, 3, 7, 8)


def test_hidden_files_are_ignored(writers, data):
    folder = writers["voc"](data)
    for file in (folder / "ImageSets" / "Main").iterdir():
        file.unlink()
    before = voc.read(folder)
    for hidden in ("Annotations/._a.xml", "JPEGImages/._a.jpg", "Annotations/.ipynb_checkpoints/a-checkpoint.xml", "JPEGImages/Thumbs.db"):
        (folder / hidden).parent.mkdir(exist_ok=True)
        (folder / hidden).write_bytes(b"\0\5\26\7")
    assert voc.read(folder) == before


def test_pictures_without_an_xml_file_are_reported(writers, data):
    folder = writers["voc"](data)
    for file in (folder / "ImageSets" / "Main").iterdir():
        file.unlink()
    (folder / "Annotations" / "c.xml").unlink()
    dataset = voc.read(folder)
    assert names(dataset) == {"train": list("abdefg")}
    (finding,) = dataset.findings
    assert (finding.check, finding.count, finding.examples) == ("unlisted pictures", 1, ["c.jpg"])


def test_xml_files_without_objects_are_rejected(writers, data):
    folder = writers["voc"]({"train": {"c": data["train"]["c"]}})
    with pytest.raises(InputError, match=r"Annotations: contains no XML file of a picture that has an object with a box"):
        voc.read(folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("a.jpg", "../a.jpg", "filename '../a.jpg' is not a path inside the data folder"),
        ("a.jpg", "/etc/hostname", "is not a path inside the data folder"),
        ("<width>40<", "<width>1e12<", "size/width is '1e12', not a finite number"),
        ("<width>40<", "<width>wide<", "size/width is 'wide', not a finite number"),
        ("<width>40<", "<width>nan<", "size/width is 'nan'"),
        ("<name>cat<", "<name><", "object 1: name is missing or empty"),
        ("<xmin>1</xmin>", "", "object 1: bndbox/xmin is missing"),
        ("<xmin>1<", "<xmin>inf<", "object 1: bndbox/xmin is 'inf'"),
        ("</annotation>", "", "is not XML: no element found: line 5"),
        ("<annotation>", '<!DOCTYPE a [\n<!ENTITY b "bb">]><annotation>', "line 2 declares an XML entity"),
        ("<annotation>", '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><annotation>', "line 1 declares an XML entity"),
    ],
)
def test_invalid_files_are_rejected(writers, data, old, new, words):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        voc.read(folder)
    assert str(error.value).startswith(f"{file}: ")
    assert words in str(error.value)


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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_entities_are_rejected_in_every_encoding(writers, data, encoding):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    declaration = f'<?xml version="1.0" encoding="{encoding[:6]}"?><!DOCTYPE a [<!ENTITY b "bb">]>'
    file.write_bytes((declaration + file.read_text()).encode(encoding))
    with pytest.raises(InputError, match=r"a\.xml: (line 1 declares an XML entity|is not XML)"):
        voc.read(folder)


def test_a_list_that_is_not_text_is_rejected(writers, data):
    folder = writers["voc"](data)
    (folder / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"train\.txt: is not UTF-8"):
        voc.read(folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("annotation>", "doc>", "has the root <doc>, not <annotation>; export the labels as PASCAL VOC"),
        ("</size>", "<object/></size>", "has <object> or <annotation> inside another element"),
        ("<object>", "<x>" * 50000 + "</x>" * 50000 + "<object>", "is nested too deeply"),
        ("<width>40<", "<width>-64<", "size/width is -64, not a number of pixels"),
        ("<width>40<", "<width>40.5<", "size/width is 40.5, not a number of pixels"),
        ("<difficult>0<", "<difficult>2<", "object 1: difficult is '2', not 0 or 1"),
        ("<difficult>0<", "<difficult>x<", "object 1: difficult is 'x', not 0 or 1"),
        ("<difficult>0<", "<difficult>nan<", "object 1: difficult is 'nan', not 0 or 1"),
        ("<name>cat<", "<name>cat</name><name>dog<", "object 1: name occurs 2 times; keep one of them"),
        ("<xmin>1<", "<xmin>1</xmin><xmin>2<", "object 1: bndbox/xmin occurs 2 times"),
        ("<filename>a", "<filename>b.jpg</filename><filename>a", "filename occurs 2 times"),
    ],
)
def test_what_other_readers_would_guess_is_rejected(writers, data, old, new, words):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 2 if old == "annotation>" else 1))
    with pytest.raises(InputError) as error:
        voc.read(folder)
    assert str(error.value).startswith(f"{file}: ")
    assert words in str(error.value)


@pytest.mark.parametrize(("text", "difficult"), [("true", 1), ("True", 1), ("false", 0), ("Unspecified", 0), ("", 0)])
def test_words_for_difficult_are_read(writers, data, text, difficult):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace("<difficult>0", f"<difficult>{text}", 1))
    assert len(voc.read(folder).splits["train"][0].boxes) == 2 - difficult


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "cp1252"])
def test_encodings_that_an_xml_file_declares_are_read(writers, data, encoding):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    text = file.read_text().replace(">cat<", ">ch\u00e2t<")
    file.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding))
    assert "ch\u00e2t" in voc.read(folder).classes


def test_an_encoding_with_several_bytes_is_rejected(writers, data):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    file.write_bytes(f'<?xml version="1.0" encoding="GBK"?>{file.read_text()}'.encode("gbk"))
    with pytest.raises(InputError, match=r"a\.xml: is not XML: multi-byte encodings are not supported; save it as UTF-8"):
        voc.read(folder)


def test_an_empty_xml_file_is_rejected(writers, data):
    folder = writers["voc"](data)
    (folder / "Annotations" / "a.xml").write_text("")
    with pytest.raises(InputError, match=r"a\.xml: is empty"):
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


def test_files_of_gdal_are_ignored(writers, data):
    folder = writers["voc"](data)
    flatten(folder, "{}")
    before = voc.read(folder)
    (folder / "train" / "a.jpg.aux.xml").write_text("<PAMDataset/>")
    assert voc.read(folder) == before
