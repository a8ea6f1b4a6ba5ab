"""Find the reference that a log is compared with: in a version of the registry, in a file, or computed from prepared data."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from components.monitor.drift import MIN_PICTURES
from components.params.models import Params
from components.register_model.reference import FORMAT, Distributions, feature_values
from components.runtime.store import limit_requests, sqlite_file
from kd.errors import InputError
from kd.files import read_json

FEATURES = tuple(feature_values([]))


class Histogram(BaseModel):
    """The inner edges of bins, ascending, and the counts in them."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    edges: list[float]
    counts: list[int]

    @model_validator(mode="after")
    def _check(self) -> "Histogram":
        if len(self.counts) != len(self.edges) + 1 or self.edges != sorted(self.edges) or min(self.counts) < 0:
            raise ValueError("edges must ascend, with one count more than edges")
        return self


class MonitoringReference(BaseModel):
    """A monitoring reference, see `components.register_model.reference.make_reference`."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    format: int = Field(ge=FORMAT, le=FORMAT)
    model: str
    settings: dict[str, float]
    classes: list[str]
    pictures: int = Field(ge=MIN_PICTURES)
    histograms: dict[str, Histogram]
    objects: dict[str, int]
    pictures_with: dict[str, int]

    @model_validator(mode="after")
    def _check(self) -> "MonitoringReference":
        if not set(FEATURES) <= set(self.histograms) or not set(self.classes) <= set(self.objects) & set(self.pictures_with):
            raise ValueError("a feature or a class is missing")
        if min(self.objects.values(), default=0) < 0 or any(not 0 <= count <= self.pictures for count in self.pictures_with.values()):
            raise ValueError("a class has fewer than 0 objects, or is in more pictures than there are")
        return self


def load_reference(source: str, data: Path | None, params: Params) -> Distributions:
    """The reference in a file, or of a version: a number, an alias, or models:/NAME/3 or models:/NAME@champion.

    Args:
        source: the file or the version.
        data: prepared data to compute it from, for versions of older releases that have none; None to read it.
        params: the name of the model and the settings of a deployed one.

    Raises:
        InputError: if it does not exist, is not valid, differs from the registered one, or is of too few pictures.
    """
    if Path(source).is_file():
        return _checked(read_json(Path(source)), source)
    if source.endswith(".json"):
        raise InputError(source, "is missing", "give a version or the monitoring_reference.json of one")
    if (file := sqlite_file()) and not file.is_file():
        raise InputError(file, "is missing, so there is no registry here", "set MLFLOW_TRACKING_URI, or give a monitoring_reference.json")
    from components.register_model.registered_files import read_monitoring_reference, read_onnx
    from components.register_model.registry import REFERENCE_FILE, Registry

    limit_requests()
    found = re.fullmatch(r"models:/([^/@]+)(?:/|@)([^/@]+)", source)
    registry = Registry(found[1] if found else params.register_model.name, public_key=params.register_model.public_key)
    version = registry.version(found[2] if found else source)
    name = f"{registry.name} version {version.number}"
    if data:
        return _checked(_compute(read_onnx(registry, version), data, params), name)
    return _checked(json.loads(read_monitoring_reference(registry, version)), f"{name}, {REFERENCE_FILE}")


def _compute(network: bytes, data: Path, params: Params) -> Any:
    from components.register_model.reference import make_reference, record_pictures
    from components.register_model.step import deployed_settings
    from kd.data.dataset import DetectionData
    from kd.progress import track

    split = DetectionData(data / "test", params.data.image_size)
    pictures = (split.open(index) for index in track(range(len(split)), "monitoring reference", len(split)))
    return make_reference(record_pictures(network, pictures, deployed_settings(params)))


def _checked(content: Any, name: str) -> Distributions:
    try:
        return MonitoringReference.model_validate(content).model_dump()
    except ValidationError as error:
        [first, *_] = error.errors()
        if first["loc"] == ("pictures",) and isinstance(first["input"], int):
            problem = f"is of {first['input']} test pictures, fewer than {MIN_PICTURES}"
            raise InputError(name, problem, "raise data.test, or add test pictures, and register the model again") from None
        field = ".".join(map(str, first["loc"])) or "it"
        problem = f"is not a monitoring reference ({field}: {first['msg'].removeprefix('Value error, ')})"
        raise InputError(name, problem, "give that of a registered version") from None
