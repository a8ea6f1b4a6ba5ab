"""Read the log of a served model, and choose the pictures to compare."""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.monitor.drift import MIN_PICTURES
from components.register_model.reference import Distributions
from components.register_model.serving_log import PictureRecord
from kd.errors import InputError


class ServingLogLine(BaseModel):
    """A line of the log, see `components.register_model.serving_log.PredictionRecorder`; `time` in seconds since 1970."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    time: float
    model: str
    settings: dict[str, float]
    brightness: float = Field(ge=0, le=1)
    scores: list[float]
    box_sizes: list[float]
    classes: list[str]


class LogWindow(NamedTuple):
    """The newest pictures of a log that can be compared, oldest first, and how many others there are.

    Attributes:
        pictures: their records.
        other_model: the number of pictures that another model was used for.
        other_settings: the number of pictures with other parameters than the defaults of the model.
    """

    pictures: list[PictureRecord]
    other_model: int
    other_settings: int


def read_window(log: Path, expected: Distributions, most: int) -> LogWindow:
    """The newest pictures, at most `most`, for which the model of a reference was used with the same settings.

    Raises:
        InputError: if the log is missing, has a line that is no record, or has too few of these pictures.
    """
    window: deque[PictureRecord] = deque(maxlen=most)
    other_model = other_settings = 0
    for line in _read_lines(log):
        if line.model != expected["model"]:
            other_model += 1
        elif line.settings != expected["settings"]:
            other_settings += 1
        else:
            window.append(line.model_dump(exclude={"time", "model", "settings"}))
    if len(window) < MIN_PICTURES:
        others = f"{other_model} of another model and {other_settings} with other parameters are left out"
        problem = f"has {len(window)} pictures to compare, fewer than {MIN_PICTURES} ({others})"
        raise InputError(log, problem, "wait for more pictures, or name the version that is served")
    return LogWindow(list(window), other_model, other_settings)


def _read_lines(log: Path) -> Iterator[ServingLogLine]:
    number = 0
    try:
        with log.open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):  # noqa: B007 - named in the errors below
                if text.endswith("\n"):  # the server may be writing the last line
                    yield ServingLogLine.model_validate(json.loads(text))
    except FileNotFoundError:
        raise InputError(log, "is missing", "give the file in KDFLOW_SERVING_LOG of the server") from None
    except UnicodeDecodeError:
        raise InputError(log, "is not UTF-8 text", "give the file in KDFLOW_SERVING_LOG of the server") from None
    except ValidationError as error:
        [first, *_] = error.errors()
        field = ".".join(map(str, first["loc"])) or "it"
        raise InputError(f"{log}, line {number}", f"is no record of a picture ({field}: {first['msg']})", "remove the line") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{log}, line {number}", f"is not JSON ({error})", "remove the line") from None
