"""dvc.yaml against the compiled graph: the same steps, edges and parameters; and what the cache has to know."""

import inspect
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from components.params.load import load_params
from components.params.models import Params
from components.runtime.command import SECTIONS, import_step
from pipeline import compile, launch, steps
from pipeline.graph import pipeline_arguments
from pipeline.initial_weights import ROLES
from pipeline.launch import TRAININGS
from tests.pipeline.compiled import Compiled

ROOT = Path(__file__).parents[2]
DVC: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
UNCACHED = {"fetch_weights", "resolve_unlabelled"}  # their part is in resolve_data
STAGES = {name: stage for name, stage in DVC.items() if name not in UNCACHED}
SPEC: dict[str, Any] = next(yaml.safe_load_all(compile.SPEC.read_text()))
TASKS = {name.replace("-", "_"): task for name, task in SPEC["root"]["dag"]["tasks"].items()}
# parameters of tasks that are no section of params.yaml, and do not come from another task
OWN = {
    "resolve_data": {"data_repo", "data_rev", "train_baseline"},
    "train_baseline": {"train_baseline"},
}
IMAGE = {"base_image", "pipelinechannel--image"}
GPUS = "pipelinechannel--resolve-data-baseline_gpus"
MADE_BY_TASK = "taskOutputParameter"


def producers(task: dict[str, Any]) -> dict[str, str]:
    """From each input artifact of a task to the task that makes it."""
    artifacts = task["inputs"].get("artifacts", {})
    return {name: source["taskOutputArtifact"]["producerTask"].replace("-", "_") for name, source in artifacts.items()}


def digested(task: dict[str, Any]) -> dict[str, str]:
    """From each parameter of a task that another task makes to that task."""
    made = {name: source[MADE_BY_TASK] for name, source in task["inputs"]["parameters"].items() if MADE_BY_TASK in source}
    return {name: source["producerTask"].replace("-", "_") for name, source in made.items()}


def given(name: str) -> set[str]:
    """The parameters of a task that come from whoever starts the pipeline."""
    return {key for key, source in TASKS[name]["inputs"]["parameters"].items() if "componentInputParameter" in source} - IMAGE


def stages_before(name: str) -> set[str]:
    """The stages whose outputs a stage reads. Kubeflow has no task for those that resolve versions: parameters have these instead."""
    read = [PurePosixPath(dep).parts for dep in STAGES[name]["deps"] if dep.startswith("outputs/")]
    return {parts[1] for parts in read} - UNCACHED


def test_the_steps_are_those_of_dvc() -> None:
    assert set(TASKS) - {"resolve_data"} == set(STAGES)


@pytest.mark.parametrize("name", STAGES)
def test_the_edges_are_those_of_dvc(name: str) -> None:
    assert set(producers(TASKS[name]).values()) == stages_before(name)
    follows = {task.replace("-", "_") for task in TASKS[name].get("dependentTasks", [])}
    assert follows == stages_before(name) | ({"resolve_data"} if name == "prepare_data" or name in TRAININGS else set())


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_gets_the_version_of_the_weights_that_its_stage_reads(name: str) -> None:
    role = ROLES[name]
    assert [dep for dep in STAGES[name]["deps"] if "fetch_weights" in dep] == [f"outputs/fetch_weights/{role}"]
    source = TASKS[name]["inputs"]["parameters"]["weights"][MADE_BY_TASK]
    assert source == {"producerTask": "resolve-data", "outputParameterKey": f"{role}_weights"}


@pytest.mark.parametrize("name", STAGES)
def test_the_parameters_are_those_of_dvc(name: str) -> None:
    assert given(name) - OWN.get(name, set()) == set(STAGES[name]["params"]) == set(SECTIONS[name])


@pytest.mark.parametrize("name", TASKS)
def test_a_parameter_is_wired_to_the_pipelines_parameter_of_its_name(name: str) -> None:
    for key in given(name):
        assert TASKS[name]["inputs"]["parameters"][key] == {"componentInputParameter": key}


@pytest.mark.parametrize("name", STAGES)
def test_every_artifact_comes_with_its_digest_because_the_cache_does_not_look_inside(name: str) -> None:
    expected = {f"{artifact.removesuffix('_model')}_digest": producer for artifact, producer in producers(TASKS[name]).items()}
    if name == "prepare_data":
        expected = {"data_version": "resolve_data"}
    if name in TRAININGS:
        expected["weights"] = "resolve_data"
    if name == "train_baseline":
        expected[GPUS] = "resolve_data"
    assert digested(TASKS[name]) == expected


@pytest.mark.parametrize("train_baseline, gpus", [(True, "4"), (False, "0")])
def test_a_skipped_baseline_asks_for_no_gpu(
    train_baseline: bool, gpus: str, compiled: Callable[..., Compiled], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubeflow's driver reads the number from a parameter of the task, which has to be text."""

    def four(content: dict[str, Any]) -> None:
        content["steps"]["train_baseline"] = content["steps"]["train_baseline"] | {"gpu": {"type": "nvidia.com/gpu", "count": 4}}

    done = compiled(four)
    assert done.container("train_baseline")["resources"]["accelerator"]["resourceCount"] == f"{{{{$.inputs.parameters['{GPUS}']}}}}"
    source = done.task("train_baseline")["inputs"]["parameters"][GPUS]
    assert source == {MADE_BY_TASK: {"producerTask": "resolve-data", "outputParameterKey": "baseline_gpus"}}
    outputs = done.spec["components"]["comp-resolve-data"]["outputDefinitions"]["parameters"]
    assert outputs["baseline_gpus"]["parameterType"] == "STRING"
    assert done.task("resolve_data")["inputs"]["parameters"]["gpus"]["runtimeValue"]["constant"] == 4
    monkeypatch.setattr(launch, "resolve_versions", lambda *arguments: ("data", "teacher", "student"))
    sections = dict.fromkeys(("data", "register_model", "student", "teacher", "data_repo", "data_rev"), "")
    resolve = steps.resolve_data.python_func
    assert resolve(**sections, train_baseline=train_baseline, gpus=4.0) == ("data", "teacher", "student", gpus)


def test_without_gpus_the_baseline_asks_for_none(compiled: Callable[..., Compiled]) -> None:
    done = compiled(lambda content: content["steps"].update(train_baseline={}))
    assert "accelerator" not in done.container("train_baseline")["resources"]
    assert done.task("resolve_data")["inputs"]["parameters"]["gpus"]["runtimeValue"]["constant"] == 0


def test_what_names_the_revision_is_in_the_key_of_no_cached_step() -> None:
    """Kubeflow's key has all parameters and input artifacts of a step; equal content under another name of the revision has to hit."""
    reading = {name for name, task in TASKS.items() if {"data_repo", "data_rev"} & set(task["inputs"]["parameters"])}
    assert reading == {"resolve_data"} and not TASKS["resolve_data"]["cachingOptions"].get("enableCache")
    assert set(TASKS["prepare_data"]["inputs"]["parameters"]) - IMAGE == {"data", "data_version"}
    assert "artifacts" not in TASKS["prepare_data"]["inputs"]


def test_what_is_cached() -> None:
    uncached = {name for name, task in TASKS.items() if not task["cachingOptions"].get("enableCache")}
    assert uncached == {"resolve_data", "register_model"}


def test_the_pipelines_parameters_are_the_sections_and_their_committed_values() -> None:
    inputs = SPEC["root"]["inputDefinitions"]["parameters"]
    assert set(inputs) == set(Params.model_fields) - {"compose_scenes"} | {"data_repo", "data_rev", "image", "train_baseline"}
    defaults = {name: entry["defaultValue"] for name, entry in inputs.items() if "defaultValue" in entry}
    assert defaults == pipeline_arguments(load_params(ROOT / "params.yaml"))
    assert inputs["image"] == {"parameterType": "STRING"}, "without a default it must be given"


@pytest.mark.parametrize("name", STAGES)
def test_a_task_hands_its_step_all_its_sections_and_inputs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    for function in ("launch_step", "launch_evaluate", "launch_prepare_data"):
        signature = inspect.signature(getattr(launch, function))
        monkeypatch.setattr(launch, function, lambda *a, s=signature: calls.append(s.bind(*a).arguments) or "digest")
    task = getattr(steps, name).python_func
    assert task(**{key: key for key in inspect.signature(task).parameters}) == ("digest",)
    (call,) = calls
    assert call.get("sections", {"data": call.get("data")}) == {section: section for section in STAGES[name]["params"]}
    assert call.get("step", name) == name
    if name != "prepare_data":
        step = inspect.signature(import_step(name)).parameters.values()
        assert set(call["inputs"]) == {p.name for p in step if isinstance(p.default, Path)} - {"output", "weights"}
        assert call.get("weights") == ("weights" if name in TRAININGS else None)
        assert all(value.removesuffix("_model").replace("dataset", "data") == key for key, value in call["inputs"].items())


@pytest.mark.parametrize("name", TASKS)
def test_every_input_and_output_is_documented(name: str) -> None:
    component = SPEC["components"][f"comp-{name.replace('_', '-')}"]
    for definitions in (component["inputDefinitions"], component["outputDefinitions"]):
        for kind in ("parameters", "artifacts"):
            undocumented = [key for key, entry in definitions.get(kind, {}).items() if not entry.get("description")]
            assert set(undocumented) <= IMAGE | {GPUS, "accelerator_count"}
