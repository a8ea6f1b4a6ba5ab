"""dvc.yaml against the code: what a step reads, imports and sets is what its stage declares, so that `dvc repro` misses no change."""

import ast
import importlib
import inspect
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from components.params.models import Params

ROOT = Path(__file__).parents[1]
OUR = ("components", "kd", "pipeline")
# what a stage may import without depending on it: none of these has a say in what the stage writes
EXEMPT = {
    "components/params": "the values themselves are under `params:`",
    "components/runtime": "runs a step and records it",
    "kd/cgroups.py": "the limits of a container are no parameters",
    "kd/errors.py": "messages",
    "kd/files.py": "writes files whole or not at all",
    "kd/memory.py": "how much may be cached, and what happens to freed memory",
    "kd/model/limits.py": "what is refused",
    "kd/progress.py": "progress bars",
    "kd/threads.py": "the number of threads is no parameter",
}
MAX_CODE_DEPS = 7


def stages() -> dict[str, dict[str, Any]]:
    """Each stage of both files; paths are relative to the project's folder."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    text = (ROOT / "dvc.yaml").read_text().replace("${data.path}", settings["data"]["path"])
    assert "${" not in text
    return yaml.safe_load(text)["stages"] | yaml.safe_load((ROOT / "data/dvc.yaml").read_text())["stages"]


STAGES = stages()


def outputs(stage: dict[str, Any]) -> list[str]:
    listed = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in listed]


def within(path: str, folders: list[str]) -> bool:
    """Whether `path` is one of `folders`, or in one."""
    return any(PurePosixPath(path).is_relative_to(folder) for folder in folders)


def default_paths(name: str) -> dict[str, str]:
    step = getattr(importlib.import_module(f"components.{name}.step"), name)
    parameters = inspect.signature(step).parameters.values()
    return {p.name: p.default.as_posix() for p in parameters if isinstance(p.default, Path)}


@cache
def imports(file: str) -> frozenset[str]:
    """Our files that `file` imports where it runs as a module; not what only the type checker or a command line imports."""
    found = set()
    for node in _running(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            found |= {path for alias in node.names for path in _files(alias.name)}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= set(_files(node.module)) | {path for alias in node.names for path in _files(f"{node.module}.{alias.name}")}
    return frozenset(found)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) in {"TYPE_CHECKING", "__name__ == '__main__'"}):
            yield child
            yield from _running(child)


def _files(module: str) -> list[str]:
    path = module.replace(".", "/")
    found = [file for file in (f"{path}.py", f"{path}/__init__.py") if module.split(".")[0] in OUR and (ROOT / file).is_file()]
    return [file for file in found if len(ast.parse((ROOT / file).read_text()).body) > 1]  # not where there is a docstring alone


def closure(file: str) -> set[str]:
    """`file` and all that it imports, directly or not."""
    found, waiting = set(), {file}
    while waiting:
        found |= waiting
        waiting = {imported for one in waiting for imported in imports(one)} - found
    return found


def test_stages_are_the_designs_steps() -> None:
    assert list(STAGES) == [
        "resolve_unlabelled", "prepare_data", "fetch_weights", "train_teacher", "train_baseline", "compute_info_maps", "distill_student",
        "evaluate", "register_model", "compose_scenes",
    ]  # fmt: skip


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_its_component_on_the_paths_that_it_declares(name: str) -> None:
    stage, paths = STAGES[name], default_paths(name)
    assert stage["cmd"] == f"python -m components.{name}"
    output = paths.pop("output")
    assert output == f"outputs/{name}"
    assert all(within(path, [output]) for path in outputs(stage)) and outputs(stage)
    unread = ("outputs/compose_scenes", "outputs/resolve_unlabelled")  # data.path, and the version of data.unlabelled
    read = [dep for dep in stage["deps"] if dep.startswith("outputs/") and dep not in unread]
    assert all(any(within(dep, [path]) for dep in read) for path in paths.values()), "an input that is no dep"
    assert all(within(dep, list(paths.values())) for dep in read), "a dep that is no input"


def code_deps(name: str) -> list[str]:
    return [dep for dep in STAGES[name]["deps"] if dep.startswith(("components", "kd"))]


@pytest.mark.parametrize("name", STAGES)
def test_what_a_step_imports_is_among_its_deps(name: str) -> None:
    needed = {file for file in closure(f"components/{name}/step.py") if not within(file, [*EXEMPT])}
    assert {file for file in needed if not within(file, code_deps(name))} == set()
    assert [dep for dep in code_deps(name) if not any(within(file, [dep]) for file in needed)] == [], "code that the step does not run"


@pytest.mark.parametrize("name", STAGES)
def test_code_deps_are_a_few_folders(name: str) -> None:
    assert all((ROOT / dep).is_dir() for dep in code_deps(name))
    assert f"components/{name}" in code_deps(name) and len(code_deps(name)) <= MAX_CODE_DEPS


def test_exemptions_are_of_use() -> None:
    reached = {file for name in STAGES for file in closure(f"components/{name}/__main__.py") | closure(f"components/{name}/step.py")}
    assert [path for path in EXEMPT if not any(within(file, [path]) for file in reached)] == []


@pytest.mark.parametrize("name", STAGES)
def test_the_package_of_a_step_has_the_step_and_its_command(name: str) -> None:
    package = ROOT / "components" / name
    assert (package / "__init__.py").read_text() == ""
    assert (package / "step.py").is_file() and (package / "__main__.py").is_file()


def edges() -> set[tuple[str, str]]:
    """The graph's edges: (step, a step whose output it reads)."""
    read = {(name, PurePosixPath(dep).parts[1]) for name, stage in STAGES.items() for dep in stage["deps"] if dep.startswith("outputs/")}
    return {(name, before) for name, before in read if before in STAGES}


def test_a_step_imports_another_steps_package_only_along_an_edge_of_the_graph() -> None:
    imported = {
        (name, other)
        for name in STAGES
        for file in sources(f"components/{name}")
        for other in STAGES
        if other != name and any(within(one, [f"components/{other}"]) for one in imports(file))
    }
    assert imported <= edges() | {("fetch_weights", "register_model")}  # what an earlier execution registered


def test_nothing_depends_on_the_commands_of_the_registry() -> None:
    files = [file for folder in ("components", "kd") for file in sources(folder) if not within(file, ["components/registry"])]
    assert [file for file in files if any(within(one, ["components/registry"]) for one in imports(file))] == []


def test_no_import_circle() -> None:
    """Neither between modules nor between the packages of a layer."""
    files = [file for layer in OUR for file in sources(layer)]
    modules = {file: set(imports(file)) - {file} for file in files}
    packages: dict[str, set[str]] = defaultdict(set)
    for file, others in modules.items():
        packages[package(file)] |= {package(other) for other in others} - {package(file)}
    for graph in (modules, packages):
        TopologicalSorter(graph).prepare()


def package(file: str) -> str:
    """Such as components/evaluate, also for a file further down."""
    return "/".join(file.split("/")[:2])


def sources(folder: str) -> list[str]:
    return sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / folder).rglob("*.py"))


def test_outputs_belong_to_one_stage_and_are_read_where_they_are_written() -> None:
    written = [path for stage in STAGES.values() for path in outputs(stage)]
    assert len(written) == len(set(written))
    for name, stage in STAGES.items():
        for dep in stage["deps"]:
            assert (ROOT / dep).exists() or within(dep, written), f"{name} reads {dep}, which nobody writes"


def sections_read(file: str) -> set[str]:
    """Sections of the parameters that a file takes, as in `params.student`, or as `params.flat(exclude={"student"})` does."""
    nodes = list(ast.walk(ast.parse((ROOT / file).read_text())))
    taken = {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "params"}
    for call in (node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) in {"params.flat", "params.model_dump"}):
        excluded = next((ast.literal_eval(word.value) for word in call.keywords if word.arg == "exclude"), set())
        taken |= set(Params.model_fields) - excluded
    return taken & set(Params.model_fields)


@pytest.mark.parametrize("name", STAGES)
def test_parameters_that_a_step_reads_are_declared(name: str) -> None:
    files = {file for file in closure(f"components/{name}/step.py") if file.startswith("components") and not within(file, [*EXEMPT])}
    read = {section for file in files for section in sections_read(file)}
    assert read and sorted(read) == sorted(STAGES[name]["params"])


@pytest.mark.parametrize(("layer", "above"), [("kd", {"components", "pipeline"}), ("components", {"pipeline"})])
def test_nothing_imports_upwards(layer: str, above: set[str]) -> None:
    files = [file.relative_to(ROOT).as_posix() for file in (ROOT / layer).rglob("*.py")]
    names = {(file, name.split("/")[0]) for file in files for name in imports(file)}
    assert len(files) > 10 and any(name == layer for _, name in names)
    assert [pair for pair in names if pair[1] in above] == []
