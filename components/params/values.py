"""Types of the values in `params.yaml`, and the checks that pydantic has no field for."""

import re
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from kd.errors import UNPRINTABLE
from kd.model.limits import COARSEST_STRIDE, MAX_IMAGE_SIZE, MAX_SCALE

T = TypeVar("T")
MAX_MODEL_NAME = 200
"""Characters; MLflow's database has 256, and the name of the journal is longer by its ending."""
Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Scale = Annotated[float, Field(gt=0, le=MAX_SCALE)]


def _check_ascending(values: list[int]) -> list[int]:
    if values != sorted(values):
        raise ValueError("the minimum is above the maximum")
    return values


def _check_distinct(values: list[T]) -> list[T]:
    if len(set(values)) < len(values):
        raise ValueError("a value is repeated")
    return values


def _check_workers(value: object) -> object:
    if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ValueError("it must be auto, or an integer >= 0")
    return value


def _check_path(path: str) -> str:
    if not path.strip():
        raise ValueError("a folder is needed; '.' is the working folder")
    return path


def _check_model_name(name: str) -> str:
    if not name.strip() or set(name) & set("/:") or {"'", '"'} <= set(name):
        raise ValueError("MLflow refuses empty names, and names with / or : or both kinds of quotes")
    if name != name.strip() or set(name) & set("@?") or UNPRINTABLE.search(name) or len(name) > MAX_MODEL_NAME:
        problem = f"spaces around it, @ or ?, control characters, or more than {MAX_MODEL_NAME} characters"
        raise ValueError(f"an address models:/NAME@ALIAS cannot have a name with {problem}")
    return name


def _check_public_key(key: str) -> str:
    # the bytes before the 32 of the key are the same for every Ed25519 key
    if key and not re.fullmatch("MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=", key):
        raise ValueError("it must be '' or an Ed25519 key as `openssl pkey -in KEY -pubout -outform DER | base64` prints it")
    return key


def _check_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"it is not a regular expression: {error}") from None
    if pattern and groups != 1:
        raise ValueError(r"it needs one group (...), as in '(.+)_frame\d+'")
    return pattern


def _check_opset(opset: int) -> int:
    import onnx.defs  # a tenth of a second that `kdflow --help` should not cost

    if opset > onnx.defs.onnx_opset_version():
        raise ValueError(f"the installed onnx knows opsets up to {onnx.defs.onnx_opset_version()}")
    return opset


def is_model_uri(init: str) -> bool:
    """Whether initial weights are an address in the model registry, and not a file."""
    return init.startswith("models:")


def parse_model_uri(init: str) -> tuple[str, str, bool]:
    """The name, and the version or alias in the address of initial weights, and whether there may be none yet."""
    found = re.fullmatch(r"models:/([^/@?]+)(?:/(\d+)|@([^/@?]+))(\?)?", init)
    if not found:
        raise ValueError("write models:/NAME/VERSION or models:/NAME@ALIAS, with a ? at the end for random weights if there is none yet")
    return found[1], found[2] or found[3], bool(found[4])


def _check_init(init: str) -> str:
    if is_model_uri(init):
        parse_model_uri(init)
    elif init != init.strip() or "://" in init:
        raise ValueError("give a .safetensors or .weights file, models:/NAME@ALIAS, or ''")
    return init


Workers = Annotated[
    int | Literal["auto"], PlainValidator(_check_workers), WithJsonSchema({"enum": ["auto", "integer >= 0"]})
]  # the errors of a plain union are one for each of its types
Distinct = Annotated[list[T], AfterValidator(_check_distinct)]
AscendingCounts = Annotated[list[Count], AfterValidator(_check_ascending)]
FolderPath = Annotated[str, AfterValidator(_check_path)]
OptionalFolderPath = Annotated[str, AfterValidator(lambda path: path and _check_path(path))]
GroupPattern = Annotated[str, AfterValidator(_check_group)]
PublicKey = Annotated[str, AfterValidator(_check_public_key)]
ImageSize = Annotated[int, Field(ge=64, le=MAX_IMAGE_SIZE, multiple_of=COARSEST_STRIDE)]
WeightsSource = Annotated[str, AfterValidator(_check_init)]
ModelName = Annotated[str, AfterValidator(_check_model_name)]
OptionalModelName = Annotated[str, AfterValidator(lambda name: name and _check_model_name(name))]
Opset = Annotated[int, Field(ge=18), AfterValidator(_check_opset)]
