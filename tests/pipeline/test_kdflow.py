"""`kdflow`, the one command."""

import subprocess
import sys

import pytest
from PIL import Image

from kd.model.build import build_model
from kd.model.spec import ModelSpec
from kd.model.store import save_model
from pipeline import kdflow
from pipeline.kdflow import COMMANDS, main
from tests.pipeline.conftest import ROOT

ANCHORS = {16: [(4.0, 4.0), (8.0, 8.0), (12.0, 12.0)], 32: [(20.0, 10.0), (16.0, 16.0), (28.0, 28.0)]}
SPEC = ModelSpec("yolov3-tiny", 0.125, 1.0, ("cat", "dog"), ANCHORS, 32)


def run(capsys, *arguments):
    """Exit code and output of a command."""
    code = 0
    try:
        main(list(arguments))
    except SystemExit as stopped:
        code = stopped.code or 0
    return code, "".join(capsys.readouterr())


def test_help_lists_every_command(capsys):
    for arguments in ((), ("-h",), ("--help",)):
        code, out = run(capsys, *arguments)
        assert code == 0 and all(f"\n  {name} " in out for name in COMMANDS)


def modules_after(code):
    script = f"import sys; from pipeline.kdflow import main\ntry:\n    {code}\nexcept SystemExit: pass\nprint('|' + ' '.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return set(out.rpartition("|")[2].split())


def test_help_imports_no_library():
    assert not modules_after("main(['--help'])") & {"torch", "mlflow", "kfp", "numpy", "pydantic", "rich", "dvc"}


def test_predict_needs_no_mlflow():
    assert not modules_after("main(['predict', '--help'])") & {"mlflow", "kfp", "dvc"}


def test_predict_runs_without_mlflow(tmp_path):
    save_model(tmp_path / "model.safetensors", build_model(SPEC), SPEC)
    Image.new("RGB", (64, 32)).save(tmp_path / "photo.jpg")
    block = "sys.modules.update(dict.fromkeys(('mlflow', 'kfp', 'dvc')))"  # importing them raises ImportError
    script = f"import sys; {block}; from pipeline.kdflow import main; main(sys.argv[1:])"
    arguments = ["predict", tmp_path / "model.safetensors", tmp_path / "photo.jpg", "--out", tmp_path / "out"]
    subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, check=True)
    assert (tmp_path / "out/photo.jpg").is_file()


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "benchmark"])
def test_each_command_has_help_with_examples_under_its_new_name(capsys, name):
    code, out = run(capsys, name, "--help")
    assert code == 0 and f"usage: kdflow {name} " in out and "examples:" in out and f"  kdflow {name}" in out


@pytest.mark.parametrize("name", ["ablation", "map_memory", "pictures", "step_cost"])
def test_benchmarks_run_in_a_checkout(capsys, name):
    assert name in run(capsys, "benchmark")[1]
    code, out = run(capsys, "benchmark", name, "--help")
    assert code == 0 and f"usage: kdflow benchmark {name} " in out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nothing"], "there is no command 'nothing'; use one of check, params"),
        (["list"], "'list' is a command of the registry; write kdflow registry list\n"),
        (["rollback", "4", "--reason", "x"], "write kdflow registry rollback 4 --reason x\n"),
        (["show", "champion"], "write kdflow registry show champion\n"),
        (["show", "3"], "write kdflow registry show 3\n"),
        (["benchmark", "nothing"], "there is no benchmark 'nothing'; use one of ablation"),
    ],
)
def test_wrong_and_former_commands_name_the_right_one(capsys, arguments, error):
    code, out = run(capsys, *arguments)
    assert code == 2 and out.startswith("error: ") and error in out


def test_without_a_checkout_there_are_no_benchmarks(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(kdflow, "CHECKOUT", tmp_path)
    code, out = run(capsys, "benchmark", "ablation")
    assert code == 2 and "clone it" in out
