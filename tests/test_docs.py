"""The documentation names only commands, options, parameters and files that exist, and its tables agree with dvc.yaml."""

import importlib
import io
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path

import pytest
import yaml

from benchmarks.variants import select
from components.params.load import RENAMED, load_params

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples/README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {page: page.read_text() for page in PAGES}
MAKEFILE = (ROOT / "Makefile").read_text()
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
GROUPS = ("pipeline", "registry", "benchmark")
"""Commands of `kdflow` that have commands of their own."""
FOLDERS = r"(?:kd|components|pipeline|benchmarks|examples|tests|docs|\.ci|\.dvc)"
Command = tuple[str, ...]


def code(text: str) -> Iterator[str]:
    """Each line of the code blocks, with continued lines joined and without comments, and each piece of inline code."""
    block = re.compile(r"^ *```\w*\n(.*?)^ *```", flags=re.MULTILINE | re.DOTALL)
    for found in block.findall(text):
        yield from lines(found)
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", block.sub("", text)))


def lines(text: str) -> Iterator[str]:
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        yield re.sub(r"\s+#.*", "", line).strip()


def commands() -> Iterator[Command]:
    """The words of each documented command: first the script or module, then its arguments."""
    documented = [line for text in TEXT.values() for line in code(text)]
    for line in (*documented, *lines(MAKEFILE)):
        if re.match(r"(kdflow|kd)( |$)", line):
            yield tuple(shlex.split(line))
        elif found := re.match(rf"(?:python|torchrun .*) -m ({FOLDERS}\b.*)", line):
            yield tuple(shlex.split(found[1]))


COMMANDS = sorted(set(commands()))


def prefix(command: Command) -> Command:
    """The script or module and its subcommands, without arguments."""
    words = [word for word in command[1:3] if re.fullmatch("[a-z_]+", word)]
    depth = {"kdflow": 2 if words and words[0] in GROUPS else 1, "kd": 1, "pipeline": 1}.get(command[0], 0)
    return command[0], *words[:depth]


def help_of(command: Command) -> str:
    """The `--help` of a script, in this process, because importing torch in each would take a minute, or of a module."""
    program, *words = command
    if program not in SCRIPTS:
        done = subprocess.run([sys.executable, "-m", program, *words, "--help"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout
    module, _, function = SCRIPTS[program].partition(":")
    with redirect_stdout(io.StringIO()) as output, suppress(SystemExit):
        getattr(importlib.import_module(module), function)([*words, "--help"])
    return output.getvalue()


@pytest.fixture(scope="module")
def helps() -> dict[Command, str]:
    """The `--help` of each command."""
    return {name: help_of(name) for name in {prefix(command) for command in COMMANDS}}


def test_the_commands_are_documented() -> None:
    documented = {prefix(command)[1:] for command in COMMANDS if command[0] == "kdflow"}
    assert documented >= {(name,) for name in ("check", "predict", "convert", "show", "params", "results")}
    assert documented >= {("pipeline", name) for name in ("compile", "run", "submit", "schedule", "schedules", "unschedule", "status")}
    assert documented >= {
        ("registry", name) for name in ("list", "show", "compare", "promote", "rollback", "history", "copy", "verify", "seal", "settle")
    }
    assert documented >= {("benchmark", name) for name in ("ablation", "pictures", "step_cost")}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_and_their_options_exist(command: Command, helps: dict[Command, str]) -> None:
    text, name = helps[prefix(command)], prefix(command)[-1]
    options = {word.partition("=")[0] for word in command if word.startswith("--")}
    assert re.search(rf"^usage: .*\b{name}\b", text)
    assert {option for option in options if not re.search(rf"{option}(?![\w-])", text)} == set()


def values_of(command: Command, option: str) -> Iterator[str]:
    """The words after each `option` up to the next option."""
    for start in (i for i, word in enumerate(command) if word == option):
        end = next((i for i in range(start + 1, len(command)) if command[i].startswith("--")), len(command))
        yield from (word for word in command[start + 1 : end] if not word.startswith("$"))


def params_of(command: Command) -> Path:
    return ROOT / next(values_of(command, "--params"), "params.yaml")


def test_python_code_compiles_and_searches_over_parameters_that_exist() -> None:
    blocks = [block for text in TEXT.values() for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)]
    for block in blocks:
        compile(block, "<documentation>", "exec")
    suggested = {name for block in blocks for name in re.findall(r"suggest_\w+\(\"([^\"]+)", block)}
    assert suggested and suggested <= load_params(ROOT / "params.yaml").flat().keys()


def test_parameters_that_are_set_exist() -> None:
    assignments = {(params_of(command), value) for command in COMMANDS for value in values_of(command, "--set")}
    found = [value for text in TEXT.values() for value in re.findall(r"(?:-S|--set) ([\w.]+=[a-z\d.]+)", text)]
    assignments |= {(ROOT / "params.yaml", value) for value in found}
    assert assignments
    for params, assignment in assignments:
        load_params(params, [assignment])


@pytest.mark.parametrize("command", [command for command in COMMANDS if "--variants" in command], ids=" ".join)
def test_variants_exist(command: Command) -> None:
    assert select([*values_of(command, "--variants")], load_params(params_of(command)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_renamed_parameters_have_their_present_names(page: Path) -> None:
    assert [name for name in RENAMED if name in TEXT[page]] == []


def test_make_targets_exist() -> None:
    targets = {found for text in TEXT.values() for found in re.findall(r"(?:`|^)make ([a-z]+)", text, flags=re.MULTILINE)}
    assert {"demo", "test", "image"} <= targets <= set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE))


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_with_a_path_exist(page: Path) -> None:
    """Such as `kd/train/engine.py` or `pipeline/`."""
    paths = [path for path in code(TEXT[page]) if re.fullmatch(rf"{FOLDERS}/(?:[\w.-]+/?)*", path)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_functions_are_in_their_files() -> None:
    """Such as `train_one_epoch` in `kd/train/engine.py`."""
    found = {pair for text in TEXT.values() for pair in re.findall(r"`(\w+)` in\s+`([\w/]+\.py)`", text)}
    assert ("train_one_epoch", "kd/train/engine.py") in found
    assert [name for name, file in found if f"def {name}(" not in (ROOT / file).read_text()] == []


def test_the_map_of_the_code_names_every_package() -> None:
    named, parent = set(), ""
    for line in TEXT[ROOT / "CONTRIBUTING.md"].partition("```\n")[2].partition("```")[0].splitlines():
        indent, folders = re.match(r"( *)((?:\w+/ *)*)", line).groups()
        parent = parent if indent else folders.strip()
        named |= {parent} if not indent else {f"{parent}{folder}" for folder in folders.split()}
    packages = {f"{file.parent.relative_to(ROOT)}/" for layer in ("kd", "components") for file in (ROOT / layer).glob("*/__init__.py")}
    assert named >= packages | {"kd/", "components/", "pipeline/", "benchmarks/", "examples/", "tests/"}
    assert [path for path in named if not (ROOT / path).is_dir()] == []


def test_the_table_of_steps_agrees_with_dvc() -> None:
    rows = [line.split(" | ") for line in TEXT[ROOT / "docs/architecture.md"].splitlines() if line.startswith("| `")]
    files = [yaml.safe_load((ROOT / file).read_text()) for file in ("data/dvc.yaml", "dvc.yaml")]
    stages = {name: stage for file in files for name, stage in file["stages"].items()}
    assert [row[0].strip("| `") for row in rows] == list(stages)
    for (_, package, reads, writes), (name, stage) in zip(rows, stages.items(), strict=True):
        assert f"[components/{name}](../components/{name}/step.py)" == package
        read = {dep.split("/")[1] for dep in stage["deps"] if dep.startswith("outputs/")}
        assert {word for word in re.findall(r"`(\w+)`", reads) if word in stages} == read
        written = {Path(out).name for out in [*stage.get("metrics", []), *stage["outs"]]} - {name}
        assert written <= set(re.findall(r"`([\w.]+)`", writes))
