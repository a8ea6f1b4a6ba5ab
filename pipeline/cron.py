"""Parse cron expressions (five fields, six with seconds first, or a word such as @weekly) into the six fields of KFP.

KFP's parser is github.com/robfig/cron 1.2. It accepts only 0 for Sunday. Like in Vixie cron, if both the day of the month and the
day of the week are restricted, a day has to match only one of them; if one begins with `*`, it has to match both.
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import product

from kd.errors import InputError

MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}
WORDS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
HORIZON = timedelta(days=5 * 366)
"""KFP searches this far ahead for the next time."""


@dataclass(frozen=True)
class Field:
    """One of the six fields of an expression, with its range and the names of its values."""

    name: str
    minimum: int
    maximum: int
    names: dict[str, int]


FIELDS = (
    Field("second", 0, 59, {}),
    Field("minute", 0, 59, {}),
    Field("hour", 0, 23, {}),
    Field("day of the month", 1, 31, {}),
    Field("month", 1, 12, MONTHS),
    Field("day of the week", 0, 7, DAYS),
)


@dataclass(frozen=True)
class Cron:
    """A valid expression.

    Args:
        text: the six fields in the syntax of KFP.
        values: the values of each field, in ascending order.
    """

    text: str
    values: tuple[tuple[int, ...], ...]

    def after(self, start: datetime) -> Iterator[datetime]:
        """The times after `start`, in UTC, up to five years ahead."""
        seconds, minutes, hours = self.values[:3]
        midnight = datetime.combine(start.astimezone(UTC), time(), UTC)
        for number in range(HORIZON.days):
            day = midnight + timedelta(days=number)
            if self._matches(day):
                times = (day + timedelta(hours=h, minutes=m, seconds=s) for h, m, s in product(hours, minutes, seconds))
                yield from (found for found in times if found > start)

    def _matches(self, day: datetime) -> bool:
        *_, days, months, weekdays = self.values
        *_, day_text, _, weekday_text = self.text.split()
        matches = day.day in days, day.isoweekday() % 7 in weekdays
        both = "*" in day_text or "*" in weekday_text
        return day.month in months and (all(matches) if both else any(matches))


def parse_cron(expression: str) -> Cron:
    """Parse an expression.

    Raises:
        InputError: if a field is invalid, or no day matches.
    """
    fields = WORDS.get(expression.strip().lower(), expression).split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        remedy = f"write 'minute hour day month weekday', as in '0 3 * * 1', or one of {', '.join(WORDS)}"
        raise InputError("--cron", f"'{expression}' has {len(fields)} fields, not 5 (or 6 with seconds first)", remedy)
    values = [_values(text, field) for text, field in zip(fields, FIELDS, strict=True)]
    if 7 in values[5]:
        values[5] = sorted({day % 7 for day in values[5]})
        fields[5] = ",".join(map(str, values[5]))
    cron = Cron(" ".join(fields).upper().replace("?", "*"), tuple(map(tuple, values)))
    if next(cron.after(datetime.now(UTC)), None) is None:
        raise InputError("--cron", f"'{expression}' never occurs", "choose a day that exists in that month")
    return cron


def _values(text: str, field: Field) -> list[int]:
    """The values of a field such as `1,5-9/2` or `MON-FRI`, in ascending order."""
    return sorted({number for part in text.split(",") for number in _range(part, field)})


def _range(part: str, field: Field) -> range:
    span, slash, step = part.partition("/")
    first, dash, last = span.partition("-")
    if span in ("*", "?"):
        low, high = field.minimum, min(field.maximum, 6) if field.names is DAYS else field.maximum
    else:
        low = _number(first, part, field)
        high = _number(last, part, field) if dash else field.maximum if slash else low
    if low > high:
        raise _error(field, f"'{part}' is not a range", f"write the smaller value first; {_allowed(field)}")
    if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
        raise _error(field, f"'{part}' has the step '{step}'", "use a positive integer, as in */15")
    return range(low, high + 1, int(step) if slash else 1)


def _number(text: str, part: str, field: Field) -> int:
    if (value := field.names.get(text.upper())) is not None:
        return value
    if not (text.isascii() and text.isdigit()):
        raise _error(field, f"'{part}' is not a number, a list, a range or *", _allowed(field))
    if not field.minimum <= int(text) <= field.maximum:
        raise _error(field, f"{text} is out of range", _allowed(field))
    return int(text)


def _error(field: Field, problem: str, remedy: str) -> InputError:
    return InputError("--cron", f"{field.name}: {problem}", remedy)


def _allowed(field: Field) -> str:
    names = f" or {', '.join(field.names)}" if field.names else ""
    return f"allowed: {field.minimum} to {field.maximum}{names}"
