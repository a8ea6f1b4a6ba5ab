"""Cron expressions: five fields, six with seconds first, or a word such as @weekly, turned into the six fields that KFP reads.

KFP's parser is github.com/robfig/cron 1.2, which knows Sunday as 0 alone. Like Vixie cron it takes a day that fits EITHER the
day of the month or the day of the week where both are restricted, and both where one of them begins with `*`.
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
"""KFP looks no further ahead for the next moment."""


@dataclass(frozen=True)
class Field:
    """One of the six places of an expression."""

    name: str
    least: int
    most: int
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
    """A checked expression.

    Args:
        text: the six fields as KFP reads them.
        values: what each field allows, in ascending order.
    """

    text: str
    values: tuple[tuple[int, ...], ...]

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The moments after `moment`, in UTC, up to five years ahead."""
        seconds, minutes, hours = self.values[:3]
        midnight = datetime.combine(moment.astimezone(UTC), time(), UTC)
        for number in range(HORIZON.days):
            day = midnight + timedelta(days=number)
            if self._fits(day):
                times = (day + timedelta(hours=h, minutes=m, seconds=s) for h, m, s in product(hours, minutes, seconds))
                yield from (found for found in times if found > moment)

    def _fits(self, day: datetime) -> bool:
        *_, days, months, weekdays = self.values
        *_, day_text, _, weekday_text = self.text.split()
        fits = day.day in days, day.isoweekday() % 7 in weekdays
        both = "*" in day_text or "*" in weekday_text
        return day.month in months and (all(fits) if both else any(fits))


def parse_cron(expression: str) -> Cron:
    """Check an expression and turn it into KFP's six fields.

    Raises:
        InputError: naming the field that is wrong, or that no day ever fits.
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
        raise InputError("--cron", f"'{expression}' names a day that never comes", "choose a day that its month has")
    return cron


def _values(text: str, field: Field) -> list[int]:
    """The numbers that a field such as `1,5-9/2` or `MON-FRI` allows, in ascending order."""
    return sorted({number for part in text.split(",") for number in _range(part, field)})


def _range(part: str, field: Field) -> range:
    span, slash, step = part.partition("/")
    first, dash, last = span.partition("-")
    if span in ("*", "?"):
        low, high = field.least, min(field.most, 6) if field.names is DAYS else field.most
    else:
        low = _number(first, part, field)
        high = _number(last, part, field) if dash else field.most if slash else low
    if low > high:
        raise _wrong(field, f"'{part}' runs backwards", f"write the lower end first; {_allowed(field)}")
    if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
        raise _wrong(field, f"'{part}' has the step '{step}'", "a step is a whole number from 1 up, as in */15")
    return range(low, high + 1, int(step) if slash else 1)


def _number(text: str, part: str, field: Field) -> int:
    if (named := field.names.get(text.upper())) is not None:
        return named
    if not (text.isascii() and text.isdigit()):
        raise _wrong(field, f"'{part}' is not a number, a list, a range or *", _allowed(field))
    if not field.least <= int(text) <= field.most:
        raise _wrong(field, f"{text} is out of range", _allowed(field))
    return int(text)


def _wrong(field: Field, problem: str, remedy: str) -> InputError:
    return InputError("--cron", f"{field.name}: {problem}", remedy)


def _allowed(field: Field) -> str:
    names = f" or {', '.join(field.names)}" if field.names else ""
    return f"allowed are {field.least} to {field.most}{names}"
