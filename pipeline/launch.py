"""Run a step as a task of Kubeflow: convert its parameters, map artifacts to folders, and start one process per GPU."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import yaml

from components.params.load import check_params, load_params
from components.params.models import Params
from components.prepare_data.data_source import resolve_source
from components.runtime.command import import_step, run_step
from components.runtime.execution import git_tags
from kd.errors import InputError, clean_exit
from kd.files import digest, read_json, write_json
from kd.threads import configure_threads, thread_count
from pipeline.ended_runs import close_ended_runs
from pipeline.environment import apply_environment
from pipeline.initial_weights import ROLES, fetched_weights
from pipeline.overlap import wait_for_turn
from pipeline.preflight import open_pipeline
from pipeline.recorded_source import recorded_source
from pipeline.restarts import run_with_restarts
from pipeline.unlabelled import data_version, resolve_unlabelled

TRAININGS = tuple(ROLES)
DISTRIBUTED = (*TRAININGS, "compute_info_maps", "evaluate")
"""The steps that run one process per GPU."""
SKIPPED = "skipped.json"
Sections = dict[str, Any]


class Artifact(Protocol):
    """An input or output of a task, as Kubeflow passes it."""

    path: str
    metadata: dict[str, Any]


@clean_exit()
def launch_step(step: str, sections: Sections, inputs: Mapping[str, Artifact | None], output: Artifact, weights: str = "") -> str:
    """Run a step of `components` as a task.

    Args:
        step: the step's name.
        sections: the sections of the parameters that it reads; integers may have become floats.
        inputs: the input folders by parameter of the step; None if a step was skipped.
        output: the output folder; its metadata is set to the digest and the git commit of the code.
        weights: the version of a training's initial weights, from `resolve_versions`; "" for random weights.

    Returns:
        The digest of the output. The tasks that read the output get it as a parameter, because Kubeflow's cache compares parameters,
        but not the content of artifacts.

    Raises:
        SystemExit: with code 2 and a one-line error if the input is wrong; with code 1 if a training crashes too often.
    """
    apply_environment()
    configure_threads()
    paths = {name: Path(artifact.path) if artifact else None for name, artifact in inputs.items()}
    _check_inputs(paths)
    processes = max(gpu_count(), 1) if step in DISTRIBUTED else 1
    with fetched_weights(step, weights) as fetched:
        run_processes(step, parse_sections(sections), {**paths, **fetched, "output": Path(output.path)}, processes)
    return _add_metadata(output)


@clean_exit()
def resolve_versions(sections: Sections, repo: str, rev: str) -> tuple[str, str, str]:
    """Check what later steps need, and resolve the versions of the data and the initial weights; see `pipeline.preflight`."""
    apply_environment()
    if not repo and _is_cluster():
        raise InputError("data_repo", "is empty", "enter the address of the git repository in which DVC tracks data.path")
    params = parse_sections(sections)
    wait_for_turn()
    versions = open_pipeline(params, repo, rev)
    close_ended_runs()
    return versions


@clean_exit()
def launch_prepare_data(data: Sections, version: str, output: Artifact) -> str:
    """Run prepare_data on the source that `resolve_versions` recorded. Its version must still be `version`.

    Returns the digest of the output.
    """
    apply_environment()
    configure_threads()
    params = parse_sections({"data": data})
    source = recorded_source()
    origin, unlabelled = resolve_source(params.data.path, *source), resolve_unlabelled(params.data.unlabelled, *source)
    if (found := data_version(origin, unlabelled)) != version:
        raise InputError(str(origin), f"changed from {version} to {found} while the pipeline ran", "start the pipeline again")
    run_step(import_step("prepare_data"), params, origin=origin, unlabelled=unlabelled, output=Path(output.path))
    output.metadata.update({"data_version": version, "data_commit": origin.commit})
    return _add_metadata(output)


def skip(output: Artifact) -> str:
    """Mark the output of a skipped step. Returns "" as its digest."""
    write_json(Path(output.path) / SKIPPED, {"skipped": True})
    return ""


def is_skipped(output: Artifact) -> bool:
    """Whether `skip` has marked the output."""
    return (Path(output.path) / SKIPPED).exists()


@clean_exit()
def launch_evaluate(sections: Sections, inputs: Mapping[str, Artifact | None], output: Artifact, report: Artifact) -> str:
    """Run the step evaluate, move its report to the artifact `report`, and show the scores of the README as metadata of `output`.

    Returns the digest of scores and report, as in the folder that `dvc repro` writes.
    """
    output_digest: str = launch_step("evaluate", sections, inputs, output)
    folder = Path(output.path)
    shutil.move(folder / "report.html", report.path)
    report.metadata.update(output.metadata)
    output.metadata.clear()  # Kubeflow's page shows all of it, sorted by name
    for name, values in read_json(folder / "metrics.json").items():
        for key, title in (("map50", "mAP50"), ("map", "mAP")):
            output.metadata[f"{title} {name} (points)"] = round(100 * values[key], 1)
    return output_digest


def parse_sections(sections: Sections) -> Params:
    """The parameters in params.yaml, with the sections that Kubeflow passes.

    Kubeflow passes a section as a protobuf Struct, in which all numbers are floats. Whole numbers are converted to integers,
    which are valid as floats, too.

    Raises:
        InputError: if a parameter is invalid.
    """
    content = load_params().model_dump() | {name: _restore_integers(section) for name, section in sections.items()}
    return check_params(content, "the pipeline's parameters")


def run_processes(step: str, params: Params, paths: Mapping[str, Path | None], processes: int) -> None:
    """Run a step: with `torchrun` if `processes` is more than 1, and in a process of its own if `KDFLOW_RESTARTS` allows restarts.

    The processes share the threads of this one.
    """
    restarts = int(os.environ.get("KDFLOW_RESTARTS", 0))
    if processes <= 1 and not restarts:
        run_step(import_step(step), params, **paths)
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        file.write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
        options = [word for name, path in paths.items() for word in (f"--{name}", str(path or ""))]
        command = [sys.executable, *torchrun, "-m", f"components.{step}", "--params", str(file), *options]
        run_with_restarts(command, step, restarts, {"OMP_NUM_THREADS": str(max(thread_count() // processes, 1))})


def gpu_count() -> int:
    """The number of GPUs of this process."""
    import torch

    return torch.cuda.device_count()


def _is_cluster() -> bool:
    return "KDFLOW_CLUSTER" in os.environ  # which the compiled pipeline sets


def _check_inputs(paths: Mapping[str, Path | None]) -> None:
    """Raise `InputError` for an input without files: Kubeflow's cache outlives its artifacts, and its launcher does not report it."""
    for name, path in paths.items():
        if path and not (path.is_dir() and any(path.iterdir())):
            remedy = "build the image from a new commit, so that every step runs again" if _is_cluster() else "run again with --no-cache"
            raise InputError(name, f"{path} has no files: a cached artifact was deleted", f"restore it, or {remedy}")


def _add_metadata(output: Artifact) -> str:
    output_digest = digest(Path(output.path))
    output.metadata.update({"digest": output_digest, **{name.removeprefix("kdflow."): value for name, value in git_tags().items()}})
    return output_digest


def _restore_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _restore_integers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_restore_integers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
