"""The two lock files hold one choice: the image runs the versions that the tests ran."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pins(file: str) -> dict[str, str]:
    """Each locked requirement with the hashes of its files."""
    text = (ROOT / file).read_text()
    return dict(re.findall(r"^(\S+==\S+(?: ; [^\\\n]+)?) \\\n((?:    --hash=\S+(?: \\)?\n)+)", text, flags=re.MULTILINE))


def test_the_image_gets_the_versions_that_are_tested() -> None:
    image, developer = pins("requirements.txt"), pins("requirements-dev.txt")
    assert len(image) > 100 and all(developer.get(pin) == hashes for pin, hashes in image.items())
    assert {pin.split("==")[0] for pin in developer if pin not in image} >= {"pytest", "mypy", "ruff"}
