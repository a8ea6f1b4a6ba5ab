"""With a public key, only versions that its private key signed are registered, promoted and restored."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from components.params.load import load_params
from components.register_model.integrity import FILES_TAG, ChangedFiles
from components.register_model.promotion import Promotion
from components.register_model.registered_files import read_onnx
from components.register_model.registry import Registry
from components.register_model.signing import KEY_VARIABLE, SIGNATURE_TAG
from kd.errors import InputError
from kd.files import digest
from tests.components.stores import enter_project, new_store
from tests.components.stub_models import create_run, write_data, write_model

ROOT = Path(__file__).parents[3]
MODEL = "kdflow-student"
UNSIGNED = "is not signed, so nothing is loaded; set KDFLOW_SIGNING_KEY before you register; `kdflow registry sign` signs"
WRONG = "its signature is not of its digests and the key register_model.public_key, so nothing is loaded; find out who changed its tags"
Command = Callable[..., str]


def make_keys(home: Path) -> str:
    """Run the documented commands in `home`; the public key, as it is printed."""
    section = (ROOT / "docs/promotion.md").read_text().partition("### Signatures")[2]
    [block, *_] = re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)
    home.mkdir()
    return subprocess.run(["bash", "-e", "-c", block.replace("~", str(home))], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with two signed versions, of which the first is the champion, and the public key in params.yaml."""
    enter_project(tmp_path, monkeypatch)
    new_store(tmp_path)
    write_data(Path("outputs/prepare_data"))
    set_public_key(make_keys(tmp_path / "home"))
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "home/kdflow-signing.pem"))
    for name, share in (("a", 0.5), ("b", 0.8)):
        register(name, share)
    Promotion(registry()).force("1", "the first")
    return tmp_path


def set_public_key(key: str) -> None:
    text = re.sub("public_key: .*", f"public_key: '{key}'", (ROOT / "params.yaml").read_text())
    Path("params.yaml").write_text(text.replace("min_pictures: 50", "min_pictures: 40"))


def registry() -> Registry:
    return Registry(MODEL, public_key=load_params().register_model.public_key)


def register(name: str, share: float) -> str:
    tags = {"kdflow.export_difference": "0", "kdflow.map": "0.5", "kdflow.map50": "0.5"}
    return registry().register(write_model(Path(f"{name}.onnx"), (share, share)), create_run(), tags)


def change_a_file_and_its_digest() -> None:
    store = registry()
    version = store.version("2")
    file = next(Path("mlruns").rglob(f"{version.run_id}/artifacts/model/served_model.py"))
    file.write_text("print('hello')\n")
    digests = json.loads(version.tags[FILES_TAG]) | {"served_model.py": digest(file)}
    store.set_tags("2", {FILES_TAG: json.dumps(digests, sort_keys=True)})


def remove_the_signature() -> None:
    registry().client.delete_model_version_tag(MODEL, "2", SIGNATURE_TAG)


def take_another_signature() -> None:
    registry().set_tags("2", {SIGNATURE_TAG: registry().version("1").tags[SIGNATURE_TAG]})


def damage_the_signature() -> None:
    registry().set_tags("2", {SIGNATURE_TAG: "no base64!"})


def write_a_signature_that_is_not_ascii() -> None:
    registry().set_tags("2", {SIGNATURE_TAG: "é"})


def take_another_key() -> None:
    set_public_key(make_keys(Path("other")))


@pytest.mark.usefixtures("project")
def test_signed_versions_are_promoted_and_restored(registry_command: Command) -> None:
    assert "is the champion" in registry_command("promote", "2")
    assert "the champion is version 1" in registry_command("rollback", "2", "--reason", "misses cats")
    assert registry_command("verify", "--all").count("files are the registered ones") == 2
    assert "gain" in registry_command("compare", "2", "1", "--json")


@pytest.mark.parametrize("attack", [change_a_file_and_its_digest, remove_the_signature, take_another_signature, damage_the_signature,
                                    write_a_signature_that_is_not_ascii, take_another_key])  # fmt: skip
@pytest.mark.usefixtures("project")
def test_a_version_without_a_valid_signature_is_refused(attack: Callable[[], None], registry_command: Command) -> None:
    attack()
    before = registry_command("history", "--json")
    problem = UNSIGNED if attack is remove_the_signature else WRONG
    for command in (
        ["promote", "2"],
        ["promote", "2", "--force", "--reason", "it is good"],
        ["compare", "2", "1"],
        ["copy", "2", "--to", "n"],
    ):
        output = registry_command(*command, code=2)
        assert problem in output and output.count("\n") == 1
    assert problem in registry_command("verify", "2", code=1)
    assert registry_command("history", "--json") == before and registry().aliases()["champion"] == "1"


@pytest.mark.usefixtures("project")
def test_a_rollback_to_a_version_without_a_valid_signature_is_refused(registry_command: Command) -> None:
    registry_command("promote", "2")
    registry().client.delete_model_version_tag(MODEL, "1", SIGNATURE_TAG)
    assert UNSIGNED in registry_command("rollback", "2", "--reason", "misses cats", code=2) and registry().aliases()["champion"] == "2"


@pytest.mark.usefixtures("project")
def test_a_version_of_another_model_is_refused() -> None:
    version = registry().version("2")
    other = Registry("other", public_key=registry().public_key)
    other.create_model("other")
    other.client.create_model_version("other", f"runs:/{version.run_id}/model", version.run_id, tags=version.tags)
    with pytest.raises(ChangedFiles, match="other version 1: its signature is not of its digests"):
        read_onnx(other, other.version("1"))


@pytest.mark.usefixtures("project")
def test_an_earlier_version_is_signed(registry_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    remove_the_signature()
    key = Path("home/kdflow-signing.pem").resolve()
    monkeypatch.setenv(KEY_VARIABLE, key.read_text())
    assert registry_command("sign", "2") == f"{MODEL} version 2: signed the digests of its files\n"
    assert "is the champion" in registry_command("promote", "2")
    monkeypatch.delenv(KEY_VARIABLE)
    assert "KDFLOW_SIGNING_KEY: is not set; set it to the file" in registry_command("sign", "2", code=2)
    next(Path("mlruns").rglob(f"{registry().version('1').run_id}/artifacts/model/MLmodel")).write_text("")
    monkeypatch.setenv(KEY_VARIABLE, str(key))
    assert "version 1: file 'MLmodel' is not the registered one" in registry_command("sign", "1", code=2)


@pytest.mark.usefixtures("project")
def test_seal_signs(registry_command: Command) -> None:
    remove_the_signature()
    registry().client.delete_model_version_tag(MODEL, "2", FILES_TAG)
    registry_command("seal", "2", "--reason", "compared with the backup")
    assert "is the champion" in registry_command("promote", "2")


@pytest.mark.usefixtures("project")
def test_without_the_private_key_nothing_is_registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_keys(tmp_path / "other")
    for key, problem in (
        ("", f"new version: {UNSIGNED}"),
        (str(tmp_path / "other/kdflow-signing.pem"), "new version: its signature is not of its digests"),
        (str(tmp_path / "missing.pem"), "KDFLOW_SIGNING_KEY: has no readable Ed25519 key without a password"),
        ("params.yaml", "KDFLOW_SIGNING_KEY: has no readable Ed25519 key"),
        ("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n", "KDFLOW_SIGNING_KEY: has no readable Ed25519 key"),
    ):
        monkeypatch.setenv(KEY_VARIABLE, key)
        with pytest.raises(InputError, match=re.escape(problem)) as caught:
            register("c", 0.9)
        assert "\n" not in str(caught.value) and "c2VjcmV0" not in str(caught.value)
    assert [version.number for version in registry().versions()] == ["1", "2"]


@pytest.mark.usefixtures("project")
def test_without_a_public_key_nothing_is_checked(registry_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    set_public_key("")
    remove_the_signature()
    monkeypatch.delenv(KEY_VARIABLE)
    assert SIGNATURE_TAG not in registry().version(register("c", 0.9)).tags
    assert "is the champion" in registry_command("promote", "2") and "version 3: " in registry_command("verify", "--all")
