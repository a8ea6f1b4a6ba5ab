"""PASCAL VOC: an XML file per picture, in a folder of its own or beside the picture, and lists of the splits or a folder per split."""

import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from components.prepare_data.layouts.checks import (
    check_found,
    check_listed_once,
    find_moved,
    find_other_folders,
    find_unlisted,
    find_unused_lists,
    find_without_box,
)
from components.prepare_data.layouts.dataset import SPLITS, RawDataset, parse_split, shorten
from components.prepare_data.layouts.files import FileIndex, is_hidden, read_lines, split_suffix
from components.prepare_data.layouts.pictures import read_sizes
from components.prepare_data.layouts.voc_xml import Annotation, parse_xml, read_annotation
from kd.data.letterbox import EXTENSIONS
from kd.errors import InputError
from kd.progress import track

EXPECTED = "Annotations/*.xml with JPEGImages/, or XML files beside pictures"
XML_FOLDERS = ("Annotations", "annotations", "labels")
PICTURE_FOLDERS = ("JPEGImages", "images", "data")
LIST_PATTERNS = ("*.txt", "ImageSets/*.txt", "ImageSets/*/*.txt")


class Part(NamedTuple):
    """A part of the dataset with XML files and pictures of its own: one split, or all of them."""

    split: str
    xml: FileIndex
    pictures: FileIndex


class SplitList(NamedTuple):
    """The list of a split and the names in it."""

    file: Path
    names: list[str]


def matches(folder: Path) -> bool:
    """Whether `folder` has this layout."""
    return bool(_find_parts(folder))


def read(folder: Path) -> RawDataset:
    """Read a VOC dataset; its classes are the names of the objects, sorted.

    Objects marked as `difficult` are dropped, because VOC neither trains nor evaluates on them. An object without a box gets the
    box around its polygon; without a polygon it is skipped.

    Raises:
        InputError: with the file and the field that is missing, not XML, or of the wrong type.
    """
    parts = _find_parts(folder)
    lists = _read_lists(folder / "ImageSets" / "Main") if len(parts) == 1 else {}
    splits: dict[str, list[Annotation]] = {}
    for part in parts:
        for split, files in _files_by_split(part, lists).items():
            splits[split] = splits.get(split, []) + _read_annotations(files, part)
    annotations = [annotation for split in splits.values() for annotation in split]
    classes = sorted({name for annotation in annotations for name, _ in annotation.objects})
    if not classes:
        raise InputError(parts[0].xml.folder, "contains no XML file of a picture that has an object with a box", "label the pictures")
    for annotation in annotations:
        annotation.picture.boxes.extend(replace(box, label=classes.index(name)) for name, box in annotation.objects)
    pictures = {split: read_sizes([annotation.picture for annotation in split_annotations]) for split, split_annotations in splits.items()}
    difficult = sum(annotation.difficult for annotation in annotations)
    dropped = [f"objects dropped, because they are marked as difficult: {difficult}"] if difficult else []
    findings = find_without_box([name for annotation in annotations for name in annotation.without_box])
    findings += find_moved(part.pictures for part in parts)
    where = "the lists of ImageSets/Main" if lists else "the XML files"
    findings += find_unlisted("pictures", [entry.picture.path for entry in annotations], [part.pictures for part in parts], where)
    findings += find_unlisted("label files", [entry.picture.label_file for entry in annotations], [part.xml for part in parts], where)
    if not lists and len(parts) == 1:
        findings += find_unused_lists(file for pattern in LIST_PATTERNS for file in folder.glob(pattern))
    if not _find_folders(folder) and not {folder, folder / "images"} & {part.xml.folder for part in parts}:
        findings += find_other_folders(folder, lambda sub: _find_folders(sub) or _mixed_folder(sub))
    return RawDataset(classes, pictures, dropped, findings)


def _find_parts(folder: Path) -> list[Part]:
    """The whole dataset as train, or one part per folder that is named like a split."""
    if whole := _find_folders(folder):
        return [_part("train", folder, *whole)]
    parents = [parent for parent in (folder, folder / "images") if parent.is_dir()]
    subfolders = [sub for parent in parents for sub in sorted(sub for sub in parent.iterdir() if parse_split(sub.name))]
    found = [(parse_split(sub.name) or "", folders) for sub in subfolders if (folders := _find_folders(sub) or _mixed_folder(sub))]
    if found:
        return [_part(split, folder, *folders) for split, folders in found]
    flat = _mixed_folder(folder) or _mixed_folder(folder / "images")
    return [_part("train", folder, *flat)] if flat else []


def _part(split: str, root: Path, xml: Path, pictures: Path) -> Part:
    return Part(split, FileIndex(xml, root, (".xml",)), FileIndex(pictures, root, EXTENSIONS))


def _find_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders of the XML files and of the pictures in `folder`."""
    pictures = next((folder / name for name in PICTURE_FOLDERS if (folder / name).is_dir()), folder)
    for xml in (folder / name for name in XML_FOLDERS if (folder / name).is_dir()):
        named = (xml.name, pictures.name) == ("Annotations", "JPEGImages")
        if named or any(not is_hidden(file.name) for file in xml.rglob("*.xml")):
            return xml, pictures
    return None


def _mixed_folder(folder: Path) -> tuple[Path, Path] | None:
    """`folder` twice, if it contains an XML file beside a picture of the same name."""
    names = [split_suffix(entry.name) for entry in os.scandir(folder) if not is_hidden(entry.name)] if folder.is_dir() else []
    stems = {stem for stem, suffix in names if suffix in EXTENSIONS}
    return (folder, folder) if any(suffix == ".xml" and stem in stems for stem, suffix in names) else None


def _read_lists(folder: Path) -> dict[str, SplitList]:
    """The lists of the splits; a missing train list is `trainval` without val."""
    lists: dict[str, SplitList] = {}
    for file in sorted(folder.glob("*.txt")):
        split = "trainval" if file.stem.lower() == "trainval" else parse_split(file.stem)
        if split in lists:
            raise InputError(file, f"is a second list of {split}", "keep one of them")
        if split:
            lists[split] = SplitList(file, [line.strip('"') for line in read_lines(file)])
        if split in ("train", "trainval") and not lists[split].names:
            raise InputError(file, "is empty", "list the training pictures, or remove it")
    trainval = lists.pop("trainval", None)
    if trainval and "train" not in lists:
        val = set(lists["val"].names) if "val" in lists else set()
        lists["train"] = SplitList(trainval.file, [name for name in trainval.names if name not in val])
    return {split: lists[split] for split in SPLITS if split in lists}


def _files_by_split(part: Part, lists: dict[str, SplitList]) -> dict[str, list[Path]]:
    """The XML files of each list; without lists, all of them."""
    if not lists:
        return {part.split: sorted(part.xml.matching, key=lambda file: str(file.with_suffix("")))}
    files = {split: [_find_xml(part.xml, name, listed.file) for name in listed.names] for split, listed in lists.items()}
    for split, listed in lists.items():
        check_listed_once(files[split], listed.file)
    return files


def _find_xml(index: FileIndex, name: str, file: Path) -> Path:
    stem, suffix = split_suffix(name)
    stem = stem if suffix in (".xml", *EXTENSIONS) else name
    found = index.find(f"{stem}.xml", file, "the entry")
    if not found:
        raise InputError(index.folder / f"{stem}.xml", "is missing", f"add the file, or remove its name from {file}")
    return found


def _read_annotations(files: list[Path], part: Part) -> list[Annotation]:
    annotations = []
    missing: list[str] = []
    pictures: dict[Path, Path] = {}
    for file in track(files, f"read labels of {part.split}", len(files), "files"):
        root = parse_xml(file)
        name = root.text("filename")
        path = _find_picture(file, name, part)
        if not path:
            missing.append(name or file.stem)
            continue
        if path in pictures:
            raise InputError(file, f"filename {shorten(name)} is also the picture of {pictures[path].name}", "correct it")
        pictures[path] = file
        annotations.append(read_annotation(root, path))
    check_found(missing, len(files), part.pictures.folder, part.xml.folder)
    return annotations


def _find_picture(file: Path, name: str, part: Part) -> Path | None:
    """The picture with this name, or else the picture that is named like the XML file."""
    here = file.relative_to(part.xml.folder)
    if name and (path := part.pictures.files.get(str(here.parent / name)) if "/" not in name else None):
        return path  # folders for classes or cameras, which may contain pictures of one name
    if name and (path := part.pictures.find(name, file, "filename")):
        return path
    path = part.pictures.find(str(here.with_suffix("")), file, "the file's name")
    if name and path:
        part.pictures.moved.append(f"{file.name}: {name} -> {path.name}")
    return path
