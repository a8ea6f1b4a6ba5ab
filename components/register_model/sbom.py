"""The software bill of materials (SBOM) of a version in CycloneDX: the locked packages with which it was trained and exported.

Equal packages give equal bytes, so it has neither a serial number nor a time.
https://cyclonedx.org/docs/1.6/json/ has the format, https://github.com/package-url/purl-spec the addresses of packages.
"""

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from components.register_model.registry import SBOM_FILE
from kd.files import digest, write_json

LOCK = Path(__file__).parents[2] / "requirements.txt"
"""The lock file of the image, which is also in the image."""
PIN = re.compile(r"^(\S.*?==[^\\\n]+?) *\\?\n((?: +--hash=\S+ *\\?\n)*)", re.MULTILINE)


def write_sbom(exported: Path, folder: Path) -> dict[str, Path]:
    """Write the SBOM of the ONNX file `exported` to `folder`.

    Returns:
        The file by its name in the version. Empty without a lock file, if kdflow was not installed from its repository.
    """
    if not LOCK.is_file():
        return {}
    file = folder / SBOM_FILE
    model = {"type": "machine-learning-model", "bom-ref": "model", "name": exported.stem, "hashes": [_hash(digest(exported))]}
    write_json(file, {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": model},
        "components": _components(),
    })  # fmt: skip
    return {SBOM_FILE: file}


@cache
def _components() -> list[dict[str, Any]]:
    """The packages in the lock file that are installed here, by name; with the digests in the lock file if the version is that one."""
    components = {}
    for pin, hashes in PIN.findall(LOCK.read_text()):
        requirement = Requirement(pin)
        if requirement.marker and not requirement.marker.evaluate():  # for another system or Python
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            continue
        [locked] = [Version(specifier.version) == Version(installed) for specifier in requirement.specifier]
        name = canonicalize_name(requirement.name)
        components[name] = _component(name, installed, re.findall(r"sha256:([0-9a-f]{64})", hashes) if locked else [])
    return [components[name] for name in sorted(components)]


def _component(name: str, number: str, digests: list[str]) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{quote(number, safe='')}"
    component: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": number, "purl": purl}
    if digests:  # of the wheels and the source, of which one is installed
        files = {"type": "distribution", "url": purl, "hashes": [_hash(one) for one in digests]}
        component["externalReferences"] = [files]
    return component


def _hash(content: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": content}
