"""PASCAL VOC 2007 + 2012 as one data set: trains on both years' trainval pictures, tests on those of VOC2007's test.

Fetches the three official archives with torchvision, 2.9 GB, checks their digests, and joins them in VOC layout.
"""

import argparse
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.error import URLError

from torchvision.datasets import VOCDetection

from kd.errors import InputError, clean_exit
from kd.files import atomic_folder

PARTS = (("2007", "trainval", "train"), ("2012", "trainval", "train"), ("2007", "test", "test"))
"""Year, VOC's name of the part, and the split that it becomes."""


@clean_exit()
def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch and join."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.voc", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the data set to make, such as data/voc")
    parser.add_argument("--downloads", type=Path, default=Path("downloads"), help="where the archives are, or go (default: downloads)")
    options = parser.parse_args(arguments)
    if options.folder.exists():
        raise InputError(options.folder, "is there already", "choose another folder, or delete it")
    parts = [(_fetch(options.downloads, year, part), split) for year, part, split in PARTS]
    with atomic_folder(options.folder) as output:
        for voc, split in parts:
            _add(voc, split, output)
    print(f"Written: {options.folder}; next: dvc add {options.folder}")


def _fetch(downloads: Path, year: str, part: str) -> VOCDetection:
    """An archive, downloaded unless it is there, and unpacked."""
    try:
        return VOCDetection(downloads, year, part, download=True)
    except (URLError, RuntimeError) as error:
        raise InputError(
            downloads, f"VOC{year} {part} cannot be fetched ({error})", "check the network, or put the archive there"
        ) from None


def _add(voc: VOCDetection, split: str, output: Path) -> None:
    """Link pictures and labels of one part, and add their names to the split's list."""
    _link(voc.images, output / "JPEGImages")
    _link(voc.annotations, output / "Annotations")
    (output / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    with (output / "ImageSets/Main" / f"{split}.txt").open("a") as names:
        names.writelines(f"{Path(file).stem}\n" for file in voc.annotations)


def _link(files: Iterable[str], folder: Path) -> None:
    """Hard links take no space; where the file system has none, copies."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in map(Path, files):
        try:
            os.link(file, folder / file.name)
        except OSError:
            shutil.copyfile(file, folder / file.name)


if __name__ == "__main__":
    main()
