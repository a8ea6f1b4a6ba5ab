"""JSON objects whose fields are checked as they are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from components.prepare_data.layouts.source import LARGEST
from kd.errors import InputError


@dataclass(frozen=True, slots=True)
class Record:
    """An object of a JSON file; `name` is where in the file it stands, such as `images[3]`.

    Every reading method raises `InputError`, naming file and field, where the field is missing or of another type.
    """

    file: Path
    name: str
    values: Any

    def integer(self, key: str) -> int:
        """A whole number."""
        value = self._value(key)
        if type(value) is not int or abs(value) > LARGEST**2:
            self._refuse(key, value, "a whole number")
        return value

    def size(self, key: str) -> int:
        """A whole number of pixels, at least 1."""
        value = self.integer(key)
        if not 1 <= value <= LARGEST:
            self._refuse(key, value, "a number of pixels")
        return value

    def numbers(self, key: str, count: int) -> list[float]:
        """`count` finite numbers."""
        value = self._value(key)
        if not isinstance(value, list) or len(value) != count or not all(_is_number(v) for v in value):
            self._refuse(key, value, f"a list of {count} finite numbers")
        return [float(v) for v in value]

    def text(self, key: str) -> str:
        """A text."""
        value = self._value(key)
        if not isinstance(value, str):
            self._refuse(key, value, "a text")
        return value

    def flag(self, key: str) -> bool:
        """0 or 1; a missing field is 0."""
        value = self._object().get(key, 0)
        if value not in (0, 1):
            self._refuse(key, value, "0 or 1")
        return bool(value)

    def records(self, key: str) -> list["Record"]:
        """A list of objects."""
        value = self._value(key)
        if not isinstance(value, list):
            self._refuse(key, value, "a list")
        return [Record(self.file, f"{key}[{index}]", item) for index, item in enumerate(value)]

    def _object(self) -> dict[str, Any]:
        if not isinstance(self.values, dict):
            raise InputError(self.file, f"{self.name or 'the file'} is {_short(self.values)}, not an object", "write it as {...}")
        return self.values

    def _value(self, key: str) -> Any:
        values = self._object()
        if key not in values:
            raise InputError(self.file, f"{self._field(key)} is missing", "add it")
        return values[key]

    def _field(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def _refuse(self, key: str, value: object, wanted: str) -> NoReturn:
        raise InputError(self.file, f"{self._field(key)} is {_short(value)}, not {wanted}", "mend it")


def _is_number(value: object) -> bool:
    # a comparison with NaN is false, so this also refuses NaN, infinities and integers too big for a float
    return type(value) in (int, float) and abs(value) <= LARGEST  # type: ignore[arg-type]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
