"""JSON objects with type checks for their fields."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from components.prepare_data.layouts.dataset import MAX_NUMBER
from kd.errors import InputError


@dataclass(frozen=True, slots=True)
class JsonObject:
    """An object in a JSON file; `name` is its location there, such as `images[3]`.

    All methods raise `InputError` with the file and the field if the field is missing or has the wrong type.
    """

    file: Path
    name: str
    values: Any

    def integer(self, key: str) -> int:
        """An integer."""
        value = self._value(key)
        if type(value) is not int or abs(value) > MAX_NUMBER**2:
            self._reject(key, value, "an integer")
        return value

    def size(self, key: str) -> int:
        """A number of pixels, at least 1."""
        value = self.integer(key)
        if not 1 <= value <= MAX_NUMBER:
            self._reject(key, value, "a number of pixels")
        return value

    def numbers(self, key: str, count: int) -> list[float]:
        """A list of `count` finite numbers."""
        value = self._value(key)
        if not isinstance(value, list) or len(value) != count or not all(_is_number(v) for v in value):
            self._reject(key, value, f"a list of {count} finite numbers")
        return [float(v) for v in value]

    def string(self, key: str) -> str:
        """A string."""
        value = self._value(key)
        if not isinstance(value, str):
            self._reject(key, value, "a string")
        return value

    def flag(self, key: str) -> bool:
        """0 or 1; 0 if the field is missing."""
        value = self._object().get(key, 0)
        if value not in (0, 1):
            self._reject(key, value, "0 or 1")
        return bool(value)

    def objects(self, key: str) -> list["JsonObject"]:
        """A list of objects."""
        value = self._value(key)
        if not isinstance(value, list):
            self._reject(key, value, "a list")
        return [JsonObject(self.file, f"{key}[{index}]", item) for index, item in enumerate(value)]

    def _object(self) -> dict[str, Any]:
        if not isinstance(self.values, dict):
            raise InputError(self.file, f"{self.name or 'the file'} is {_shorten(self.values)}, not an object", "write it as {...}")
        return self.values

    def _value(self, key: str) -> Any:
        values = self._object()
        if key not in values:
            raise InputError(self.file, f"{self._field(key)} is missing", "add it")
        return values[key]

    def _field(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def _reject(self, key: str, value: object, expected: str) -> NoReturn:
        raise InputError(self.file, f"{self._field(key)} is {_shorten(value)}, not {expected}", "correct it")


def _is_number(value: object) -> bool:
    # comparisons with NaN are false, so NaN is rejected, too
    return type(value) in (int, float) and abs(value) <= MAX_NUMBER  # type: ignore[arg-type]


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
