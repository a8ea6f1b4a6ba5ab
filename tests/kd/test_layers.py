"""kd does not import the packages that use it, and trains with torch, torchvision, numpy and pycocotools only."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALLOWED = {"kd", "pillow_heif", "torch", "torchvision", "numpy", "pycocotools", "PIL", "safetensors"}
BLOCKED = ("safetensors", "mlflow", "dvc", "kfp", "pydantic", "rich", "components", "pipeline")
WITHOUT = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocker())
import kd.distillation.setup, kd.train.engine
"""


def imported(source: Path) -> set[str]:
    """Top-level names of every module that a file imports, also inside functions."""
    nodes = list(ast.walk(ast.parse(source.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.split(".")[0] for name in plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}}


def test_kd_imports_only_allowed_packages() -> None:
    allowed = ALLOWED | set(sys.stdlib_module_names)
    forbidden = {(source.name, name) for source in (ROOT / "kd").rglob("*.py") for name in imported(source) - allowed}
    assert not forbidden


def test_training_needs_no_more_than_torch_numpy_and_pycocotools() -> None:
    result = subprocess.run([sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
