"""Merging the archives of two years into one dataset that prepare_data reads, without downloads."""

from pathlib import Path

import pytest
import torchvision.datasets.voc
from PIL import Image

from components.prepare_data.layouts import read_dataset
from examples.voc import main

XML = """<annotation><filename>{picture}.jpg</filename><size><width>40</width><height>30</height></size>
<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>25</ymax></bndbox></object>
</annotation>"""
PARTS = {("2007", "trainval"): ["000001", "000002"], ("2007", "test"): ["000003"], ("2012", "trainval"): ["2008_000001"]}


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The downloaded and unpacked archives."""
    folder = tmp_path / "downloads"
    for (year, part), names in PARTS.items():
        root = folder / f"VOCdevkit/VOC{year}"
        for subfolder in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (root / subfolder).mkdir(parents=True, exist_ok=True)
        (root / f"ImageSets/Main/{part}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            Image.new("RGB", (40, 30), (90, 60, 30)).save(root / f"JPEGImages/{name}.jpg")
            (root / f"Annotations/{name}.xml").write_text(XML.format(picture=name, name="cat" if year == "2007" else "dog"))
    monkeypatch.setattr(torchvision.datasets.voc, "download_and_extract_archive", lambda *_, **__: None)
    return folder


def test_both_years_are_merged_into_one_dataset(downloads: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    main([str(tmp_path / "voc"), "--downloads", str(downloads)])
    dataset = read_dataset(tmp_path / "voc", "auto")
    names = {split: [picture.path.stem for picture in pictures] for split, pictures in dataset.splits.items()}
    assert names == {"train": ["000001", "000002", "2008_000001"], "test": ["000003"]}
    assert list(dataset.classes) == ["cat", "dog"]
    assert f"next: dvc add {tmp_path / 'voc'}" in capsys.readouterr().out


def test_a_failed_download_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision.datasets.voc, "download_and_extract_archive", fail)
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "voc"), "--downloads", str(tmp_path / "downloads")])
    assert stopped.value.code == 2 and not (tmp_path / "voc").exists()
    assert "VOC2007 trainval cannot be fetched (File not found or corrupted.); check the network" in capsys.readouterr().err


def test_an_existing_folder_is_not_overwritten(downloads: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "voc").mkdir()
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "voc"), "--downloads", str(downloads)])
    assert stopped.value.code == 2
    assert "voc: is there already; choose another folder" in capsys.readouterr().err
