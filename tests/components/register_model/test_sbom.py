"""The SBOM has the fields of CycloneDX 1.6, and the locked packages with their digests."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from components.register_model import sbom
from components.register_model.registry import SBOM_FILE
from components.register_model.sbom import write_sbom
from kd.files import digest, read_json
from tests.test_locks import pins

FIELDS = {"$schema", "bomFormat", "specVersion", "version", "metadata", "components"}
PURL = r"pkg:pypi/[a-z0-9]+(-[a-z0-9]+)*@[A-Za-z0-9.%-]+"


def test_it_has_the_fields_of_the_specification_and_equal_bytes(tmp_path: Path) -> None:
    (tmp_path / "student.onnx").write_bytes(b"a network")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        sbom._components.cache_clear()
        assert write_sbom(tmp_path / "student.onnx", tmp_path / folder) == {SBOM_FILE: tmp_path / folder / SBOM_FILE}
    content = read_json(tmp_path / "a" / SBOM_FILE)
    assert (tmp_path / "a" / SBOM_FILE).read_bytes() == (tmp_path / "b" / SBOM_FILE).read_bytes()
    assert content.keys() == FIELDS, "no serial number and no time"
    assert (content["bomFormat"], content["specVersion"], content["version"]) == ("CycloneDX", "1.6", 1)
    model = content["metadata"]["component"]
    assert (model["type"], model["name"]) == ("machine-learning-model", "student")
    assert model["hashes"] == [{"alg": "SHA-256", "content": digest(tmp_path / "student.onnx")}]
    components = content["components"]
    assert len({one["bom-ref"] for one in components}) == len({one["name"] for one in components}) == len(components) > 100
    for one in components:
        assert one["type"] == "library" and re.fullmatch(PURL, one["purl"]) and one["purl"].startswith(f"pkg:pypi/{one['name']}@")
        for reference in one.get("externalReferences", []):
            assert reference["type"] == "distribution" and reference["url"] == one["purl"]
            assert all(re.fullmatch("[0-9a-f]{64}", entry["content"]) for entry in reference["hashes"])


def test_the_digests_are_those_in_the_lock_file() -> None:
    components = {one["name"]: one for one in sbom._components()}
    locked = {pin.partition("==")[0]: hashes for pin, hashes in pins("requirements.txt").items() if ";" not in pin}
    for name in ("pillow", "onnxruntime", "mlflow"):
        assert components[name]["version"] == version(name)
        [reference] = components[name]["externalReferences"]
        assert [entry["content"] for entry in reference["hashes"]] == re.findall(r"sha256:(\w+)", locked[name])


def test_packages_that_differ_from_the_lock_file_have_no_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        f"Pillow=={version('pillow')} \\\n    --hash=sha256:{'a' * 64}\nnumpy==1.0 \\\n    --hash=sha256:{'b' * 64}\n    # via torch\n"
        f"rich==1 ; python_full_version < '3' \\\n    --hash=sha256:{'c' * 64}\nnot-installed==1\n"
    )
    monkeypatch.setattr(sbom, "LOCK", lock)
    numpy, pillow = sbom._components.__wrapped__()
    assert numpy == {key: numpy[key] for key in ("type", "bom-ref", "name", "version", "purl")} and numpy["version"] == version("numpy")
    assert (pillow["name"], pillow["externalReferences"][0]["hashes"]) == ("pillow", [{"alg": "SHA-256", "content": "a" * 64}])
    monkeypatch.setattr(sbom, "LOCK", tmp_path / "missing")
    assert write_sbom(lock, tmp_path) == {}
