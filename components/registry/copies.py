"""Copy a version to another registered model or another store."""

from pathlib import Path
from tempfile import TemporaryDirectory

from components.register_model.integrity import check_preprocessing
from components.register_model.registered_files import download_verified
from components.register_model.registry import MODEL, REFERENCE_FILE, SBOM_FILE, Registry, Version
from components.register_model.version_card import LINEAGE_TAGS
from components.runtime.text import mask_passwords
from kd.errors import InputError

EXPERIMENT = "kdflow copies"
COPIED_TAGS = (*LINEAGE_TAGS, "kdflow.git_dirty", "kdflow.map", "kdflow.map50", "kdflow.export_difference")
"""Without the gate's tags, because they refer to the champion of the source."""


def copy_version(source: Registry, version: Version, target: Registry) -> str:
    """Register the content of `version` under `target`, with its lineage and without aliases.

    Returns:
        The version number in `target`; that of an existing version if it has the same content.

    Raises:
        InputError: if its files are not the registered ones, or `target` is `source`.
    """
    if (source.name, source.uri) == (target.name, target.uri):
        raise InputError("--to", f"'{target.name}' is the source of version {version.number}", "name another model or another store")
    with TemporaryDirectory() as folder, TemporaryDirectory() as downloaded:
        copy = download_verified(source, version, Path(downloaded))
        check_preprocessing(copy.name, version.tags)
        file = Path(folder) / "student.onnx"
        file.write_bytes(copy.network())
        others = {name: Path(folder) / name for name in (MODEL, REFERENCE_FILE, SBOM_FILE) if name in copy.digests}
        for name, path in others.items():
            path.write_bytes(copy.read(name))
        origin = {"kdflow.copied_from": f"models:/{source.name}/{version.number}", "kdflow.copied_from_store": mask_passwords(source.uri)}
        tags = {tag: version.tags[tag] for tag in COPIED_TAGS if tag in version.tags}
        run_id = _create_run(target, f"copy of {source.name} {version.number}")
        return target.register(file, run_id, {**tags, **origin}, others)


def _create_run(target: Registry, name: str) -> str:
    """Create a run to store the files of the copy."""
    client = target.client
    with target.wrap_errors():
        experiment = client.get_experiment_by_name(EXPERIMENT)
        run = client.create_run(experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT), run_name=name)
        client.set_terminated(run.info.run_id)
        return str(run.info.run_id)
