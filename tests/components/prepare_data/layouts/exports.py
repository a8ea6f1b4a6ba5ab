"""Turns a folder from `writers` (tests/components/conftest.py) into the structure that a program exports, one function each."""

import json
import shutil

import yaml

SPLITS = ("train", "val", "test")
ROBOFLOW = {"train": "train", "val": "valid", "test": "test"}


def move(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)


def move_content(source, target):
    target.mkdir(parents=True, exist_ok=True)
    for entry in list(source.iterdir()):
        entry.rename(target / entry.name)
    source.rmdir()


def coco_beside_pictures(folder):
    for split, name in ROBOFLOW.items():
        move(folder / split, folder / name)
        move(folder / name / "annotations.json", folder / name / "_annotations.coco.json")
        move_content(folder / name / "images", folder / name)


def coco_annotations_folder(folder, pictures, names):
    for split, name in zip(SPLITS, names, strict=True):
        move(folder / split / "annotations.json", folder / "annotations" / f"instances_{name}.json")
        move(folder / split / "images", folder / pictures / name)
        (folder / split).rmdir()


def coco_file_per_split(folder):
    for split in SPLITS:
        move(folder / split / "annotations.json", folder / f"{split}.json")
        move_content(folder / split / "images", folder / "images")
        (folder / split).rmdir()
    (folder / "package.json").write_text('{"name": "labels"}')


def coco_one_file(folder, file, pictures):
    move(folder / "train" / "annotations.json", folder / file)
    move(folder / "train" / "images", folder / pictures)
    (folder / "train").rmdir()


def coco_label_studio(folder):
    coco_one_file(folder, "result.json", "images")
    content = json.loads((folder / "result.json").read_text())
    for image in content["images"]:
        image["file_name"] = f"images/{image['file_name']}"
    (folder / "result.json").write_text(json.dumps(content))


def voc_trainval(folder):
    lists = folder / "ImageSets" / "Main"
    (lists / "train.txt").rename(lists / "trainval.txt")
    (lists / "trainval.txt").write_text((lists / "trainval.txt").read_text() + (lists / "val.txt").read_text())


def voc_lists_of_cvat(folder):
    lists = folder / "ImageSets" / "Main"
    for split, name in (("train", "default"), ("val", "Validation"), ("test", "Test")):
        (lists / f"{split}.txt").rename(lists / f"{name}.txt")
    (lists / "cat_train.txt").write_text("a 1\nb -1\n")


def voc_other_spellings_in_a_list(folder):
    (folder / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\nb.xml\r\nJPEGImages/c.jpg\r\nD\r\n\r\n")


def voc_beside_pictures(folder, target):
    """XML files and pictures in one folder per split."""
    for split in SPLITS:
        for name in (folder / "ImageSets" / "Main" / f"{split}.txt").read_text().split():
            move(folder / "Annotations" / f"{name}.xml", folder / target.format(split) / f"{name}.xml")
            move(folder / "JPEGImages" / f"{name}.jpg", folder / target.format(split) / f"{name}.jpg")
    for name in ("Annotations", "JPEGImages", "ImageSets"):
        shutil.rmtree(folder / name)


def voc_folders(folder, xml, pictures):
    move(folder / "Annotations", folder / "xml files")
    move(folder / "JPEGImages", folder / "picture files")
    move_content(folder / "xml files", folder / xml)
    move_content(folder / "picture files", folder / pictures)


def edit_yaml(folder, **changes):
    """Change entries of data.yaml; None removes an entry."""
    content = {**yaml.safe_load((folder / "data.yaml").read_text()), **changes}
    (folder / "data.yaml").write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))


def yolo_empty_entries(folder):
    content = yaml.safe_load((folder / "data.yaml").read_text()) | {"nc": 2, "path": None, "kpt_shape": None, "validation": ""}
    (folder / "data.yaml").write_text(yaml.safe_dump(content))


def yolo_path(folder):
    for name in ("images", "labels"):
        move(folder / name, folder / "inner" / name)
    edit_yaml(folder, path="inner")


def yolo_roboflow(folder):
    for split, name in ROBOFLOW.items():
        for kind in ("images", "labels"):
            move(folder / kind / split, folder / name / kind)
    edit_yaml(folder, **{split: f"../{name}/images" for split, name in ROBOFLOW.items()})


def yolo_without_split_folders(folder):
    for kind in ("images", "labels"):
        for split in SPLITS:
            move_content(folder / kind / split, folder / kind)
    edit_yaml(folder, train=None, val=None, test=None)


def yolo_classes_file(folder, file):
    (folder / "data.yaml").unlink()
    (folder / file).write_bytes(b"\xef\xbb\xbfcat\r\ndog\r\n")
    (folder / "notes.json").write_text("{}")


def yolo_label_studio(folder):
    yolo_without_split_folders(folder)
    yolo_classes_file(folder, "classes.txt")


def yolo_one_folder(folder):
    for kind in ("images", "labels"):
        move_content(folder / kind / "train", folder)
        (folder / kind).rmdir()
    yolo_classes_file(folder, "classes.txt")


def yolo_roboflow_darknet(folder):
    for split, name in ROBOFLOW.items():
        for kind in ("images", "labels"):
            move_content(folder / kind / split, folder / name)
        (folder / name / "_darknet.labels").write_text("cat\ndog\n")
    for name in ("images", "labels", "data.yaml"):
        (folder / name).rmdir() if (folder / name).is_dir() else (folder / name).unlink()


def yolo_darknet(folder, prefix="data/"):
    """CVAT's YOLO 1.1."""
    for split, name in (("train", "train"), ("val", "valid")):
        for kind in ("images", "labels"):
            move_content(folder / kind / split, folder / f"obj_{name}_data")
        lines = [f"{prefix}obj_{name}_data/{file.name}\n" for file in sorted((folder / f"obj_{name}_data").glob("*.jpg"))]
        (folder / f"{name}.txt").write_text("".join(lines))
    (folder / "data.yaml").unlink()
    (folder / "obj.names").write_text("cat\ndog\n")
    lines = ["classes = 2", f"train = {prefix}train.txt", f"valid = {prefix}valid.txt", f"names = {prefix}obj.names", "backup = backup/"]
    (folder / "obj.data").write_text("\n".join(lines))


def yolo_list(folder, prefix):
    """CVAT's Ultralytics format."""
    lines = "".join(f"{prefix}images/train/{name}.jpg\n" for name in "dabc")
    (folder / "train.txt").write_text(lines.replace("/", "\\") if ":" in prefix else lines)
    edit_yaml(folder, path="./", train="train.txt", val="images/val/", test="./images/test")


def yolo_renamed_yaml(folder, name):
    (folder / "data.yaml").rename(folder / name)
    (folder / "params.yaml").write_text("names: [cat]\n")
