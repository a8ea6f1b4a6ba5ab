"""The XML files of VOC: coordinates, difficult objects, sizes and encodings, and what is rejected."""

import pytest
from PIL import Image

from components.prepare_data.layouts import voc
from kd.errors import InputError
from tests.components.prepare_data.layouts.structures import rejection


@pytest.fixture
def folder(writers, data):
    return writers["voc"](data)


@pytest.fixture
def file(folder):
    return folder / "Annotations" / "a.xml"


def test_coordinates_start_at_one_and_include_the_last_pixel(folder, file):
    (folder / "Annotations" / "e.xml").write_text(
        "<annotation><filename>e.jpg</filename><size><width>40</width><height>40</height></size><object><name>dog</name>"
        "<bndbox><xmin>1</xmin><ymin>3</ymin><xmax>40</xmax><ymax>3</ymax></bndbox></object></annotation>"
    )
    box = voc.read(folder).splits["val"][0].boxes[0]
    assert (box.label, box.x, box.y, box.w, box.h) == (1, 0, 2, 40, 1)


def test_difficult_objects_are_dropped_and_counted(folder, file):
    file.write_text(file.read_text().replace("<difficult>0", "<difficult>1", 1))
    dataset = voc.read(folder)
    assert [box.name for box in dataset.splits["train"][0].boxes] == ["object 2"]
    assert dataset.dropped == ["objects dropped, because they are marked as difficult: 1"]


@pytest.mark.parametrize(("text", "difficult"), [("true", 1), ("True", 1), ("false", 0), ("Unspecified", 0), ("", 0)])
def test_words_for_difficult_are_read(folder, file, text, difficult):
    file.write_text(file.read_text().replace("<difficult>0", f"<difficult>{text}", 1))
    assert len(voc.read(folder).splits["train"][0].boxes) == 2 - difficult


@pytest.mark.parametrize("box", ["", "<bndbox/>"])
def test_an_object_without_a_box_is_skipped_and_counted(folder, file, box):
    file.write_text(file.read_text().replace("</annotation>", f"<object><name>dog</name>{box}</object></annotation>"))
    dataset = voc.read(folder)
    assert [b.name for b in dataset.splits["train"][0].boxes] == ["object 1", "object 2"]
    (finding,) = dataset.findings
    assert (finding.check, finding.count, finding.examples) == ("annotations without a box", 1, ["a.xml, object 3"])


def test_an_object_without_a_box_gets_the_box_around_its_polygon(folder, file):
    points = "<x1>3</x1><y1>4</y1><x2>9</x2><y2>4</y2><x3>5</x3><y3>11</y3>"
    file.write_text(file.read_text().replace("</annotation>", f"<object><name>dog</name><polygon>{points}</polygon></object></annotation>"))
    box = voc.read(folder).splits["train"][0].boxes[2]
    assert (box.label, box.x, box.y, box.w, box.h) == (1, 2, 3, 7, 8)


@pytest.mark.parametrize(
    "size",
    ["", "<size/>", "<size><width>0</width><height>0</height></size>", "<size><width>40</width></size>", "<size><width/><height/></size>"],
)
def test_an_unknown_size_is_read_from_the_picture(folder, file, size):
    before = voc.read(folder)
    file.write_text(file.read_text().replace("<size><width>40</width><height>20</height></size>", size))
    assert voc.read(folder) == before


def test_a_size_from_a_picture_has_the_exif_orientation_applied(folder, file):
    for file in (folder / "Annotations").iterdir():
        file.write_text(file.read_text().replace("<width>40<", "<width>0<"))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(folder / "JPEGImages" / "a.jpg", exif=exif)
    picture = voc.read(folder).splits["train"][0]
    assert (picture.width, picture.height) == (20, 40)


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
def test_invalid_files_are_rejected(folder, file, old, new, words):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 2 if old == "annotation>" else 1))
    message = rejection(voc.read, folder)
    assert message.startswith(f"{file}: ") and words in message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_entities_are_rejected_in_every_encoding(folder, file, encoding):
    declaration = f'<?xml version="1.0" encoding="{encoding[:6]}"?><!DOCTYPE a [<!ENTITY b "bb">]>'
    file.write_bytes((declaration + file.read_text()).encode(encoding))
    with pytest.raises(InputError, match=r"a\.xml: (line 1 declares an XML entity|is not XML)"):
        voc.read(folder)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "cp1252"])
def test_encodings_that_an_xml_file_declares_are_read(folder, file, encoding):
    text = file.read_text().replace(">cat<", ">ch\u00e2t<")
    file.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding))
    assert "ch\u00e2t" in voc.read(folder).classes


def test_an_encoding_with_several_bytes_is_rejected(folder, file):
    file.write_bytes(f'<?xml version="1.0" encoding="GBK"?>{file.read_text()}'.encode("gbk"))
    with pytest.raises(InputError, match=r"a\.xml: is not XML: multi-byte encodings are not supported; save it as UTF-8"):
        voc.read(folder)


def test_an_empty_xml_file_is_rejected(folder, file):
    file.write_text("")
    with pytest.raises(InputError, match=r"a\.xml: is empty"):
        voc.read(folder)
