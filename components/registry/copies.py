"""Taking a version to another registered model or another store."""

from pathlib import Path
from tempfile import TemporaryDirectory

from components.register_model.registry import Registry, Version
from components.register_model.version_card import LINEAGE
from components.runtime.recorder import mask_passwords
from kd.errors import InputError

EXPERIMENT = "kdflow copies"
KEPT = (*LINEAGE, "kdflow.git_dirty", "kdflow.map", "kdflow.map50", "kdflow.export_difference")
"""What stays true of a copy. The gate's tags do not: they speak of another champion."""


def copy_version(source: Registry, version: Version, target: Registry) -> str:
    """Register the content of `version` under `target`, with its lineage and where it came from, and without aliases.

    Returns:
        The number there; that of an older version where the same content is registered already.

    Raises:
        InputError: if its files cannot be fetched, or `target` is where it comes from.
    """
    if (source.name, source.uri) == (target.name, target.uri):
        raise InputError("--to", f"'{target.name}' is where version {version.number} comes from", "name another model or another store")
    with TemporaryDirectory() as folder:
        files = sorted(source.download(version.number, Path(folder)).rglob("*.onnx"))
        if len(files) != 1:
            problem = f"holds {len(files)} ONNX files instead of one"
            raise InputError(f"{source.name} version {version.number}", problem, "copy a version that kdflow registered")
        origin = {"kdflow.copied_from": f"models:/{source.name}/{version.number}", "kdflow.copied_from_store": mask_passwords(source.uri)}
        tags = {tag: version.tags[tag] for tag in KEPT if tag in version.tags}
        return target.register(files[0], _run(target, f"copy of {source.name} {version.number}"), {**tags, **origin})


def _run(target: Registry, name: str) -> str:
    """A run that keeps the files of the copy."""
    client = target.client
    with target.faults():
        experiment = client.get_experiment_by_name(EXPERIMENT)
        run = client.create_run(experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT), run_name=name)
        client.set_terminated(run.info.run_id)
        return str(run.info.run_id)
