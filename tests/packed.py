"""Pack pictures like prepare_data, look into packed ones, and change them."""

import hashlib
import shutil
from pathlib import Path

from kd.data.shards import INDEX, PictureShards, PreparedPicture, original_digests, write_shards
from kd.files import read_json


def pack(folder: Path) -> Path:
    """Pack the pictures in `folder`/images, which annotations.json lists, and remove the folder; returns `folder`."""
    images = read_json(folder / "annotations.json")["images"]
    files = {image["id"]: folder / "images" / image["file_name"] for image in images}
    write_shards(folder, (prepared(image_id, file.suffix, file.read_bytes()) for image_id, file in files.items()))
    shutil.rmtree(folder / "images", ignore_errors=True)
    return folder


def prepared(image_id: int, extension: str, content: bytes) -> PreparedPicture:
    return PreparedPicture(image_id, extension, content, hashlib.sha256(content).hexdigest())


def packed(folder: Path) -> dict[str, bytes]:
    """The content of the pictures of a split by their names in annotations.json."""
    images = read_json(folder / "annotations.json")["images"]
    shards = PictureShards(folder, [image["id"] for image in images])
    return {image["file_name"]: shards.open(index).read() for index, image in enumerate(images)}


def unpack(folder: Path) -> None:
    """Undo `pack`."""
    (folder / "images").mkdir()
    for name, content in packed(folder).items():
        (folder / "images" / name).write_bytes(content)
    for file in (folder / INDEX, *folder.glob("pictures-*.tar")):
        file.unlink()


def digests(folder: Path) -> list[str]:
    """The first digits of the digests of a split's originals."""
    return [sha256[:16] for sha256 in original_digests(folder).values()]


def replace_picture(folder: Path, name: str, content: bytes) -> None:
    """Give one picture of a split another content, or add one that annotations.json does not list."""
    images = read_json(folder / "annotations.json")["images"]
    ids = {image["file_name"]: image["id"] for image in images}
    contents = packed(folder) | {name: content}
    pictures = [prepared(ids.get(key, 10_000), Path(key).suffix, value) for key, value in contents.items()]
    for file in folder.glob("pictures-*.tar"):
        file.unlink()
    write_shards(folder, pictures)
