"""Names of classes are text in the description of a version, not Markdown or HTML."""

import html
from pathlib import Path

import pytest
from rich.console import Console

from components.params.load import load_params
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from components.register_model.version_card import escape_markdown
from components.registry.tables import rules_table, stored_rule_results, version_table
from tests.components.stores import new_store
from tests.components.stub_models import register, write_data, write_model

ROOT = Path(__file__).parents[3]
NAME = "dog|<img src=x onerror=alert(1)>**[red]`\x1b[2J\n# _x_"


def test_special_characters_become_entities_that_look_the_same() -> None:
    text = escape_markdown("a|b <img> **[x](y)** `c` \x1b\n")
    assert not set(text) & set("|<>*[]`\x1b\n\\") and html.unescape(text) == "a|b <img> **[x](y)** `c` \\x1b\\n"


def test_a_class_name_changes_neither_description_nor_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)
    classes = ("cat", NAME)
    write_data(Path("data"), classes)
    params = load_params(ROOT / "params.yaml", ["register_model.gate.max_latency_ratio=100", "register_model.gate.min_pictures=40"])
    promotion = Promotion(Registry("m"))
    for name, shares in (("a", (0.5, 0.5)), ("b", (1.0, 0.2))):
        register("m", write_model(Path(f"{name}.onnx"), shares, classes))
        promotion.promote(promotion.run_gate("1" if name == "a" else "2", params, Path("data")))
    version = promotion.registry.version("2")
    text = promotion.registry.client.get_model_version("m", "2").description
    [row] = [line for line in text.splitlines() if line.startswith("| class_drop |")]
    assert "onerror" in row and not set(row) & set("<>[]`\x1b") and row.count("|") == 4
    console = Console(width=200, force_terminal=True, highlight=False)
    with console.capture() as captured:
        console.print(rules_table(stored_rule_results(version)))
        console.print(version_table(version, {NAME: "run"}))
    assert "\x1b[2J" not in captured.get() and "\\x1b[2J" in captured.get() and "[red]" in captured.get()
