"""The command `kdflow`: help, and bad input in one line with exit code 2."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components.registry.commands import EXAMPLES, _parser, main
from tests.components.stores import new_store

ROOT = Path(__file__).parents[3]
Command = Callable[..., tuple[int | None, str]]


@pytest.fixture
def kdflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in a folder with parameters: its exit code and what it says."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())

    def run(*arguments: str) -> tuple[int | None, str]:
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        return end.value.code, "".join(capsys.readouterr())  # type: ignore[return-value]

    return run


def test_help_is_instant_and_has_examples() -> None:
    code = "import sys; sys.argv = ['kdflow', '--help']; import components.registry.__main__"
    check = "import atexit; atexit.register(lambda: print({'mlflow', 'torch'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", f"import sys; {check}; {code}"], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0 and said.stdout.endswith("set()\n"), said.stderr
    assert all(line in said.stdout for lines in EXAMPLES.values() for line in lines) and "exit codes: 0 done; 1 the gate" in said.stdout


def test_every_example_is_a_command() -> None:
    for line in (line for lines in EXAMPLES.values() for line in lines):
        words = line.replace('"', "").split()[1:]
        _parser().parse_args([word for word in words if "--reason" not in words or words.index(word) <= words.index("--reason") + 1])


def test_without_a_registry_nothing_is_made(kdflow: Command) -> None:
    assert kdflow("list") == (2, f"error: {Path('mlflow.db').resolve()}: is missing, so there is no registry here; "
                              "run `dvc repro` first, or set MLFLOW_TRACKING_URI\n")  # fmt: skip
    assert not Path("mlflow.db").exists()


def test_bad_input_is_one_line(kdflow: Command, tmp_path: Path) -> None:
    new_store(tmp_path)
    for arguments, problem in {
        ("list",): "holds no versions of 'kdflow-student' (there are none)",
        ("history",): "holds no versions of 'kdflow-student'",
        ("show", "3"): "holds no versions of 'kdflow-student'",
        ("promote", "3", "--force"): "--force: needs --reason",
        ("promote", "3", "--reason", "because"): "and --reason --force",
        ("rollback",): "nothing to roll back to: there is no champion",
        ("--set", "register_model.gate.min_map=2", "list"): "parameter 'register_model.gate.min_map' is 2",
    }.items():
        code, said = kdflow(*arguments)
        assert code == 2 and said.startswith("error: ") and problem in said and said.count("\n") == 1, said
