"""Every change of a version's files is refused before any of them is used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.params.load import load_params
from components.register_model import registered_files
from components.register_model.gate.run_gate import load_version
from components.register_model.integrity import FILES_TAG, PREPROCESSING_TAG, ChangedFiles
from components.register_model.packaging import open_model
from components.register_model.promotion import Promotion
from components.register_model.registered_files import read_onnx
from components.register_model.registry import MODEL, REFERENCE_FILE, SBOM_FILE, Registry
from components.registry.commands import main
from components.registry.copies import copy_version
from kd.errors import InputError
from kd.files import digest
from tests.components.stores import new_store
from tests.components.stub_models import create_run, write_data, write_model

ROOT = Path(__file__).parents[3]
FILES = ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "served_model.py", "input_example.json",
         "serving_input_example.json", "artifacts/a.onnx", "artifacts/letterbox.py", "artifacts/serving_log.py",
         MODEL, REFERENCE_FILE, SBOM_FILE)  # fmt: skip
CODE = "import pathlib; pathlib.Path('ran').touch()\n"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with a champion, version 1, and another version."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    write_data(Path("outputs/prepare_data"))
    others = {name: Path(name) for name in (MODEL, REFERENCE_FILE, SBOM_FILE)}
    for file in others.values():
        file.write_text(file.name)
    for name, shares in (("a", (0.5, 0.5)), ("b", (0.8, 0.8))):
        Registry("m").register(write_model(Path(f"{name}.onnx"), shares), create_run(), {"kdflow.export_difference": "0"}, others)
    Promotion(Registry("m")).force("1", "first")


def files_of(number: str) -> Path:
    """The folder of a version in the store."""
    return next(Path("mlruns").rglob(f"{Registry('m').version(number).run_id}/artifacts/model"))


def _append(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text((folder / name).read_text(errors="ignore") + CODE)

    return change


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _add(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(CODE)

    return change


def _link(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).rename(Path("same"))
        (folder / name).symlink_to(Path("same").resolve())

    return change


SWAPS = {
    **{f"{name} changed": (name, _append(name)) for name in FILES},
    **{f"{name} removed": (name, _remove(name)) for name in ("MLmodel", "artifacts/a.onnx", "conda.yaml")},
    **{f"{name} added": (name, _add(name)) for name in ("notes.txt", "code/numpy.py", "artifacts/b.onnx")},
    **{f"{name} a link": (name, _link(name)) for name in ("MLmodel", "artifacts/a.onnx", "served_model.py", "artifacts")},
}


@pytest.mark.parametrize("swap", SWAPS)
def test_a_swapped_file_is_refused(swap: str) -> None:
    name, change = SWAPS[swap]
    assert open_model("models:/m/1").classes == ("cat", "dog")
    folder = files_of("1")
    recorded = json.loads(Registry("m").version("1").tags[FILES_TAG]).get(name)
    change(folder)
    for use in (lambda: open_model("models:/m@champion"), lambda: load_version(Registry("m"), "1")):
        with pytest.raises(ChangedFiles, match=rf"^m version 1: file '{name}' is ") as caught:
            use()
        message = str(caught.value)
        assert "\n" not in message
        if swap.endswith("link"):
            assert f"is a link to {Path('same').resolve()}" in message
        else:
            found = f"SHA-256 {digest(folder / name)}" if (folder / name).exists() else "no such file"
            assert f"(found: {found}, registered: {f'SHA-256 {recorded}' if recorded else 'no such file'})" in message
    assert not Path("ran").exists()


def test_every_file_of_a_version_is_swapped_above() -> None:
    assert set(FILES) == set(json.loads(Registry("m").version("1").tags[FILES_TAG])) and len(SWAPS) >= 20


def test_a_change_between_check_and_load_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    verify_copy = registered_files.verify_copy

    def changed_after_the_check(name: str, folder: Path, *rest: object) -> object:
        copy = verify_copy(name, folder, *rest)  # type: ignore[arg-type]
        shutil.copyfile("b.onnx", folder / "artifacts/a.onnx")
        return copy

    monkeypatch.setattr(registered_files, "verify_copy", changed_after_the_check)
    with pytest.raises(ChangedFiles, match=f"found: SHA-256 {digest(Path('b.onnx'))}, registered: SHA-256 {digest(Path('a.onnx'))}"):
        open_model("models:/m/1")


def test_every_use_refuses_a_swapped_file_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    registry, params = Registry("m"), load_params()
    promotion = Promotion(registry)
    promotion.force("2", "second")
    run_id, data = registry.version("1").run_id, Path("outputs/prepare_data")
    entries = promotion.journal.entries()
    _append("served_model.py")(files_of("1"))
    for use in (
        lambda: open_model(f"runs:/{run_id}/model"),
        lambda: promotion.run_gate("1", params, data),
        lambda: promotion.force("1", "because"),
        lambda: promotion.rollback("because"),
        lambda: copy_version(registry, registry.version("1"), Registry("n")),
    ):
        with pytest.raises(ChangedFiles, match=r"m version 1: file 'served_model\.py'"):
            use()
    assert promotion.journal.entries() == entries and not Registry("n").versions() and not Path("ran").exists()
    for arguments, code in ((["compare", "2", "1"], 2), (["verify", "1"], 1), (["verify", "2"], 0), (["verify", "--all"], 1)):
        with pytest.raises(SystemExit) as caught:
            main(["--model", "m", *arguments])
        assert caught.value.code == code
    output = capsys.readouterr()
    assert output.err.count("m version 1: file 'served_model.py'") == 3 and output.out.count("version 2: 13 files are the registered") == 2


def test_digests_that_are_no_json_and_another_preprocessing_are_refused() -> None:
    registry = Registry("m")
    registry.set_tags("1", {PREPROCESSING_TAG: "2"})
    with pytest.raises(InputError, match="m version 1: needs preprocessing format '2', but this release has '1'"):
        read_onnx(registry, registry.version("1"))
    for damaged in ("[1]", 90_000 * "["):
        registry.set_tags("1", {FILES_TAG: damaged})
        with pytest.raises(ChangedFiles, match=r"m version 1: its tag kdflow.files is not a JSON object"):
            read_onnx(registry, registry.version("1"))
