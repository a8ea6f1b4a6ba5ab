"""JSON objects with type checks for their fields."""

import json
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from components.prepare_data.layouts.dataset import MAX_NUMBER, shorten
from components.prepare_data.layouts.files import parse_text
from kd.errors import InputError


@dataclass(frozen=True, slots=True)
class JsonObject:
    """An object in a JSON file; `name` is its location there, such as `images[3]`.

    All methods raise `InputError` with the file and the field if the field has the wrong type, or is missing where no default is given.
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
        """A number of pixels; 0 if it is unknown, that is, missing, null or 0."""
        value = self.get(key) or 0
        if type(value) not in (int, float) or not (0 <= value <= MAX_NUMBER and value == int(value)):
            self._reject(key, value, "an integer" if type(value) is not int else "a number of pixels")
        return int(value)

    def numbers(self, key: str, count: int) -> list[float]:
        """A list of `count` finite numbers."""
        value = self._value(key)
        if not isinstance(value, list) or len(value) != count or not all(_is_number(v) for v in value):
            self._reject(key, value, f"a list of {count} finite numbers")
        return [float(v) for v in value]

    def polygons(self, key: str) -> list[list[float]]:
        """Lists of numbers x, y, x, y, ..., or one such list; empty if the field is missing, null, or a mask in run lengths (an object)."""
        value = self.get(key) or []
        if isinstance(value, list) and all(_is_number(v) for v in value):
            value = [value]
        if isinstance(value, dict):
            return []
        if not isinstance(value, list) or not all(isinstance(part, list) and all(_is_number(v) for v in part) for part in value):
            self._reject(key, value, "a list of lists of finite numbers")
        return [part for part in value if len(part) >= 6 and len(part) % 2 == 0]

    def string(self, key: str) -> str:
        """A string."""
        value = self._value(key)
        if not isinstance(value, str):
            self._reject(key, value, "a string")
        return value

    def flag(self, key: str) -> bool:
        """0 or 1; 0 if the field is missing."""
        value = self.get(key)
        if value not in (None, 0, 1):
            self._reject(key, value, "0 or 1")
        return bool(value)

    def objects(self, key: str) -> list["JsonObject"]:
        """A list of objects."""
        value = self._value(key)
        if not isinstance(value, list):
            self._reject(key, value, "a list")
        return [JsonObject(self.file, f"{key}[{index}]", item) for index, item in enumerate(value)]

    def get(self, key: str) -> Any:
        """The unchecked value; None if it is missing."""
        return self._object().get(key)

    def _object(self) -> dict[str, Any]:
        if not isinstance(self.values, dict):
            raise InputError(self.file, f"{self.name or 'the file'} is {shorten(self.values)}, not an object", "write it as {...}")
        return self.values

    def _value(self, key: str) -> Any:
        values = self._object()
        if key not in values:
            raise InputError(self.file, f"{self._field(key)} is missing", "add it")
        return values[key]

    def _field(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def _reject(self, key: str, value: object, expected: str) -> NoReturn:
        raise InputError(self.file, f"{self._field(key)} is {shorten(value)}, not {expected}", "correct it")


def read_json(file: Path) -> JsonObject:
    """The object in a JSON file.

    Raises:
        InputError: if it cannot be read, is not JSON, or an object repeats a key, of which JSON parsers keep the last.
    """

    def check_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            key = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise InputError(file, f"repeats the key {shorten(key)} in the object {shorten(values)}", "keep one of them")
        return values

    return JsonObject(file, "", parse_text(file, "JSON", partial(json.loads, object_pairs_hook=check_keys)))


def _is_number(value: object) -> bool:
    # comparisons with NaN are false, so NaN is rejected, too
    return type(value) in (int, float) and abs(value) <= MAX_NUMBER  # type: ignore[arg-type]
