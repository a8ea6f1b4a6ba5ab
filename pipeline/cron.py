"""Check cron expressions (five fields, six with seconds first, or a word such as @weekly) and convert them to the six fields of KFP.

KFP's parser is github.com/robfig/cron 1.2. Like cronsim, it follows Vixie cron: if both the day of the month and the day of the week
are restricted, a day has to match only one of them; if one begins with `*`, it has to match both. Unlike cronsim, it accepts only 0
for Sunday, knows neither L nor #, and a `*` counts anywhere in a list.
"""

import re
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

from kd.errors import InputError

WORDS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
FIELDS = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of the month": "1 to 31",
    "month": "1 to 12 or JAN to DEC",
    "day of the week": "0 to 7 or SUN to SAT",
}
"""The fields in their order, with the allowed values."""
EXTENSIONS = re.compile(r"#|(?<![A-Z])L")
"""Notations that only cronsim knows, such as L for the last day of a month."""
HORIZON = timedelta(days=5 * 366)
"""KFP searches this far ahead for the next time."""


def parse_cron(expression: str) -> str:
    """Check an expression. Returns its six fields in the syntax of KFP, which is valid for `cronsim.CronSim`, too.

    Raises:
        InputError: if a field is invalid, or no day matches.
    """
    fields = WORDS.get(expression.strip().lower(), expression).upper().replace("?", "*").split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        remedy = f"write 'minute hour day month weekday', as in '0 3 * * 1', or one of {', '.join(WORDS)}"
        raise InputError("--cron", f"'{expression}' has {len(fields)} fields, not 5 (or 6 with seconds first)", remedy)
    for index, (name, allowed) in enumerate(FIELDS.items()):
        if not _is_valid(fields[index], index):
            remedy = f"allowed: {allowed}, lists (1,5), ranges (1-5), steps (*/5) and *"
            raise InputError("--cron", f"{name}: '{fields[index]}' is invalid", remedy)
    # cronsim looks for a star at the beginning only
    fields = [",".join(sorted(field.split(","), key=lambda term: term[0] != "*")) for field in fields]
    fields[5] = ",".join(map(_sunday_as_0, fields[5].split(",")))
    cron, now = " ".join(fields), datetime.now(UTC)
    try:
        occurs = next(CronSim(cron, now), now + 2 * HORIZON) < now + HORIZON
    except CronSimError:  # a day that no month of the expression has
        occurs = False
    if not occurs:
        raise InputError("--cron", f"'{expression}' never occurs", "choose a day that exists in that month")
    return cron


def _is_valid(field: str, index: int) -> bool:
    try:
        CronSim(" ".join(field if i == index else "*" for i in range(len(FIELDS))), datetime.now(UTC))
    except CronSimError:
        return False
    return not EXTENSIONS.search(field)


def _sunday_as_0(weekdays: str) -> str:
    """One term of the day of the week, with the days as a list if Sunday is written as 7 in it."""
    days = CronSim(f"0 0 0 * * {weekdays}", datetime.now(UTC)).weekdays
    if 7 not in days or weekdays.startswith("*"):
        return weekdays
    return ",".join(sorted({str(day).replace("7", "0") for day in days}))
