"""The command `kdflow registry`: its help, and one-line errors with exit code 2."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components.params.load import load_params
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from components.registry.commands import EXAMPLES, _parser, main
from components.runtime import store
from tests.components.stores import enter_project, new_store
from tests.components.stub_models import register, write_data, write_model

ROOT = Path(__file__).parents[3]
Command = Callable[..., tuple[int | None, str]]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in a folder with parameters; gives its exit code and output."""
    enter_project(tmp_path, monkeypatch)

    def run(*arguments: str) -> tuple[int | None, str]:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        return caught.value.code, "".join(capsys.readouterr())  # type: ignore[return-value]

    return run


def test_help_has_examples_and_imports_neither_mlflow_nor_torch() -> None:
    code = "import sys; sys.argv = ['registry', '--help']; import components.registry.__main__"
    check = "import atexit; atexit.register(lambda: print({'mlflow', 'torch'} & set(sys.modules)))"
    completed = subprocess.run([sys.executable, "-c", f"import sys; {check}; {code}"], cwd=ROOT, capture_output=True, text=True)
    assert completed.returncode == 0 and completed.stdout.endswith("set()\n"), completed.stderr
    assert all(line in completed.stdout for lines in EXAMPLES.values() for line in lines)
    assert "usage: python -m components.registry " in completed.stdout and "exit codes: 0 done; 1 the gate" in completed.stdout


def test_usage_names_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, usage in (
        (["-h"], "usage: kdflow registry [-h]"),
        (["show", "-h"], "usage: kdflow registry show [-h] [--json] VERSION"),
    ):
        with pytest.raises(SystemExit):
            main(arguments, "kdflow registry")
        assert capsys.readouterr().out.startswith(usage)


def test_every_example_is_a_command() -> None:
    for line in (line for lines in EXAMPLES.values() for line in lines):
        words = line.replace('"', "").split()
        assert words[:2] == ["kdflow", "registry"]
        words = words[2:]
        _parser("kdflow registry").parse_args(
            [word for word in words if "--reason" not in words or words.index(word) <= words.index("--reason") + 1]
        )


def test_without_a_registry_no_file_is_created(registry: Command) -> None:
    assert registry("list") == (2, f"error: {Path('mlflow.db').resolve()}: is missing, so there is no registry here; "
                              "run `dvc repro` first, or set MLFLOW_TRACKING_URI\n")  # fmt: skip
    assert not Path("mlflow.db").exists()


@pytest.mark.timeout(90)
@pytest.mark.parametrize("server", ["dead", "silent"])
def test_a_server_that_does_not_answer_is_one_error(server: str, registry: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "2", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"} if server == "silent" else {}
    for name in store._REQUEST_LIMITS:
        monkeypatch.setenv(name, "")  # so that the test ends without it
        monkeypatch.delenv(name)
    monkeypatch.setattr(store, "_REQUEST_LIMITS", store._REQUEST_LIMITS | limits)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if server == "silent":
            listener.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{listener.getsockname()[1]}")
        code, output = registry("list")
    assert code == 2 and output.count("\n") == 1 and "secret" not in output
    assert output.startswith("error: http://***@127.0.0.1:") and "the registry of 'kdflow-student' fails" in output


def test_json_has_versions_rules_history_and_comparison(registry: Command, tmp_path: Path) -> None:
    new_store(tmp_path)
    write_data(Path("outputs/prepare_data"))
    for name, share in (("a", 0.5), ("b", 0.8)):
        register("kdflow-student", write_model(Path(f"{name}.onnx"), (share, share)))
    promotion = Promotion(Registry("kdflow-student"))
    promotion.promote(promotion.run_gate("1", load_params(), Path("outputs/prepare_data")))
    first, second = json.loads(registry("list", "--json")[1])
    assert (first["version"], first["aliases"], second["aliases"]) == ("1", ["champion"], []) and "kdflow.content" in first["tags"]
    shown = json.loads(registry("show", "1", "--json")[1])
    assert {"rule": "finite", "passed": True, "reason": "all numbers are finite"} in shown["rules"] and "registered" in shown
    [entry] = json.loads(registry("history", "--json")[1])
    assert (entry["action"], entry["version"], entry["void"]) == ("promote", "1", False)
    compared = json.loads(registry("compare", "2", "champion", "--json")[1])
    assert (
        compared["versions"] == ["2", "1"]
        and compared["gain"]["map"]["low"] > 0
        and compared["scores"]["1"]["ap50"].keys() == {"cat", "dog"}
    )


def test_relaxed_limits_need_a_reason_and_are_recorded(registry: Command, tmp_path: Path) -> None:
    new_store(tmp_path)
    write_data(Path("outputs/prepare_data"))
    register("kdflow-student", write_model(Path("a.onnx"), (0.5, 0.5)))
    stricter = ("--set", "register_model.gate.min_map=0.99")
    assert registry(*stricter, "promote", "1")[0] == 1, "a stricter limit needs no reason"
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("min_map: 0.05", "min_map: 0.9"))
    code, output = registry("--set", "register_model.gate.min_map=0.2", "promote", "1", "--reason", "a trial")
    assert code == 0 and "version 1 is the champion" in output
    [entry] = json.loads(registry("history", "--json")[1])
    relaxed = f"limits relaxed by {entry['who']}: min_map 0.2 instead of 0.9 (a trial)"
    assert relaxed in entry["why"] and relaxed in registry("show", "1", "--json")[1]


def test_a_version_waits_for_an_approval(registry: Command, tmp_path: Path) -> None:
    new_store(tmp_path)
    write_data(Path("outputs/prepare_data"))
    register("kdflow-student", write_model(Path("a.onnx"), (0.5, 0.5)))
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("approval: auto", "approval: manual"))
    code, output = registry("promote", "1")
    assert code == 0 and 'version 1 passed and waits: kdflow registry approve 1 --reason "..."' in output
    assert registry("approve", "1", "--reason", "looked at it") == (0, "kdflow-student version 1 is the champion\n")
    code, output = registry("approve", "1", "--reason", "again")
    assert code == 2 and "does not wait for an approval (gate: promote)" in output


def test_a_repeated_rollback_says_that_nothing_changed(registry: Command, tmp_path: Path) -> None:
    new_store(tmp_path)
    for name, share in (("a", 0.5), ("b", 0.8)):
        register("kdflow-student", write_model(Path(f"{name}.onnx"), (share, share)))
        Promotion(Registry("kdflow-student")).force("1" if name == "a" else "2", "first")
    assert registry("rollback", "2") == (0, "kdflow-student: the champion is version 1\n")
    unchanged = "kdflow-student: nothing changed, because version 2 is not the champion; the champion is version 1\n"
    assert registry("rollback", "2") == (0, unchanged)


def test_the_next_command_after_a_copy_names_the_other_store(registry: Command, tmp_path: Path) -> None:
    new_store(tmp_path)
    (tmp_path / "other").mkdir()
    new_store(tmp_path / "other")
    register("kdflow-student", write_model(Path("a.onnx"), (0.5, 0.5)))
    uri = f"sqlite:///{tmp_path}/other/mlflow.db"
    code, output = registry("copy", "1", "--to", "a b", "--to-store", uri)
    assert code == 0 and f"to promote it there: MLFLOW_TRACKING_URI={uri} kdflow registry --model 'a b' promote 1\n" in output
    assert "to promote it there: kdflow registry --model other promote 1\n" in registry("copy", "1", "--to", "other")[1]


READ_ONLY = ("search_model_versions", "search_registered_models", "search_runs", "get_")


class ReadOnlyClient:
    """A client without permission to write."""

    def __init__(self, client: object) -> None:
        self._client = client

    def __getattr__(self, name: str) -> object:
        if not name.startswith(READ_ONLY):
            raise PermissionError(name)
        return getattr(self._client, name)


def test_reading_changes_nothing_and_reports_an_alias_that_is_behind(
    registry: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_store(tmp_path)
    write_data(Path("outputs/prepare_data"))
    for name, share in (("a", 0.5), ("b", 0.8)):
        register("kdflow-student", write_model(Path(f"{name}.onnx"), (share, share)))
    Promotion(Registry("kdflow-student")).force("1", "first")
    client = Registry("kdflow-student").client
    client.set_registered_model_alias("kdflow-student", "champion", "2")
    create = Registry.__init__

    def read_only(self: Registry, *arguments: str, **settings: str) -> None:
        create(self, *arguments, **settings)
        self.client = ReadOnlyClient(self.client)  # type: ignore[assignment]

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "__init__", read_only)
        for arguments in (["list"], ["show", "1"], ["history"], ["compare", "1", "2"], ["verify", "1"]):
            code, output = registry(*arguments)
            assert code == 0, output
            behind = "warning: @champion of kdflow-student is version 2, but version 1 in the journal; `kdflow registry settle` sets it"
            assert (behind in output) == (arguments[0] != "verify")
    registry("copy", "1", "--to", "other")
    assert Registry("kdflow-student").aliases() == {"champion": "2"}
    assert "the champion is version 1" in registry("settle")[1] and Registry("kdflow-student").aliases() == {"champion": "1"}


def test_errors_are_one_line(registry: Command, tmp_path: Path) -> None:
    new_store(tmp_path)
    for arguments, problem in {
        ("list",): "contains no versions of 'kdflow-student' (there are none)",
        ("history",): "contains no versions of 'kdflow-student'",
        ("show", "3"): "contains no versions of 'kdflow-student'",
        ("promote", "3", "--force"): "promote: --force needs --reason",
        ("promote", "3", "--reason", "because"): "promote: --reason needs --force, or --set that relaxes a limit",
        (
            "--set",
            "register_model.gate.min_map=0",
            "promote",
            "3",
        ): "promote: --set, which relaxes min_map 0.0 instead of 0.05, needs --reason",
        ("rollback",): "nothing to roll back to: there is no champion",
        ("--set", "register_model.gate.min_map=2", "list"): "parameter 'register_model.gate.min_map' is 2",
    }.items():
        code, output = registry(*arguments)
        assert code == 2 and output.startswith("error: ") and problem in output and output.count("\n") == 1, output
