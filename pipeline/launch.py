"""From a pipeline's task to a step: parameters that went through Kubeflow, artifacts that are folders, one process a GPU."""

import importlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import yaml

from components.params.load import check_params, load_params
from components.params.models import Params
from components.prepare_data.data_source import resolve
from components.runtime.command import Step, run_step
from components.runtime.execution import git_tags
from kd.errors import InputError, clean_exit
from kd.files import digest, read_json, write_json

TRAININGS = ("train_teacher", "train_baseline", "distill_student")
Sections = dict[str, Any]


class Artifact(Protocol):
    """What a task reads or writes, as Kubeflow hands it over."""

    path: str
    metadata: dict[str, Any]


@clean_exit()
def launch(step: str, sections: Sections, inputs: Mapping[str, Artifact | None], output: Artifact) -> str:
    """Run a step of `components`.

    Args:
        step: its name.
        sections: the sections of the parameters that it reads; numbers may have become floats.
        inputs: folders, by the names that the step has for them; None for one that was left out.
        output: where its folder goes; gets the digest and the code's git commit as metadata.

    Returns:
        The digest of what the step wrote. Tasks that read it take the digest as a parameter, because Kubeflow's cache knows
        artifacts by name only.

    Raises:
        SystemExit: in one line of text, if the input is wrong (code 2) or a process of a training fails.
    """
    paths = {name: Path(artifact.path) if artifact else None for name, artifact in inputs.items()}
    processes = gpus() if step in TRAININGS else 1
    start(step, as_params(sections), {**paths, "output": Path(output.path)}, processes)
    return _signed(output)


@clean_exit()
def resolve_data(data: Sections, repo: str, rev: str) -> str:
    """The version of `data.path` at a revision, without a download; see `components.prepare_data.data_source.resolve`."""
    return resolve(as_params({"data": data}).data.path, repo, rev).version


@clean_exit()
def prepare_data(data: Sections, repo: str, rev: str, version: str, output: Artifact) -> str:
    """Run the step prepare_data on `data.path` at a revision, which must still hold `version`; returns the digest."""
    params = as_params({"data": data})
    origin = resolve(params.data.path, repo, rev)
    if origin.version != version:
        problem = f"moved from {version} to {origin.version} while the pipeline ran"
        raise InputError(str(origin), problem, "start the pipeline again, or name a commit in data_rev")
    run_step(_step("prepare_data"), params, origin=origin, output=Path(output.path))
    output.metadata.update({"data_version": origin.version, "data_commit": origin.commit})
    return _signed(output)


def skip(output: Artifact) -> str:
    """Leave a folder that says that its step was switched off; the digest "" tells readers."""
    write_json(Path(output.path) / "skipped.json", {"skipped": True})
    return ""


@clean_exit()
def evaluate(sections: Sections, inputs: Mapping[str, Artifact | None], output: Artifact, report: Artifact) -> str:
    """Run the step evaluate; its scores become metadata of `output`, and its report a file of its own."""
    result: str = launch("evaluate", sections, inputs, output)
    folder = Path(output.path)
    shutil.copyfile(folder / "report.html", report.path)
    report.metadata.update(output.metadata)
    scores = {f"{name}_{key}": value for name, values in read_json(folder / "metrics.json").items() for key, value in values.items()}
    output.metadata.update({key: value for key, value in scores.items() if isinstance(value, float)})
    return result


def as_params(sections: Sections) -> Params:
    """The parameters of the working folder with these sections in place of its own.

    Kubeflow carries a section as a protobuf Struct, whose numbers are all floats; the whole ones become integers again, which
    also stand for floats.

    Raises:
        InputError: naming the parameter that is wrong.
    """
    content = load_params().model_dump() | {name: _whole(section) for name, section in sections.items()}
    return check_params(content, "the pipeline's parameters")


def start(step: str, params: Params, paths: Mapping[str, Path | None], processes: int) -> None:
    """Run a step in this process or, with several `processes`, in as many that `torchrun` starts."""
    if processes <= 1:
        run_step(_step(step), params, **paths)
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        file.write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
        done = subprocess.run([*torchrun, "-m", f"components.{step}", "--params", str(file), *options], check=False)
    if done.returncode:
        sys.exit(1)


def gpus() -> int:
    """How many GPUs this process sees."""
    import torch

    return torch.cuda.device_count()


def _step(name: str) -> Step:
    step: Step = getattr(importlib.import_module(f"components.{name}.step"), name)
    return step


def _signed(output: Artifact) -> str:
    result = digest(Path(output.path))
    output.metadata.update({"digest": result, **{name.removeprefix("kdflow."): value for name, value in git_tags().items()}})
    return result


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
