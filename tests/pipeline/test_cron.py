from datetime import UTC, datetime
from itertools import islice

import pytest
from cronsim import CronSim

from kd.errors import InputError
from pipeline.cron import parse_cron

MONDAY = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


def times(expression, count=3, after=MONDAY):
    return [f"{time:%Y-%m-%d %H:%M:%S}" for time in islice(CronSim(parse_cron(expression), after), count)]


@pytest.mark.parametrize(
    "given, sent",
    [
        ("0 3 * * 1", "0 0 3 * * 1"),
        ("30 0 3 * * 1", "30 0 3 * * 1"),
        ("0 3 * * mon-fri", "0 0 3 * * MON-FRI"),
        ("*/15 * ? jan,JUL *", "0 */15 * * JAN,JUL *"),
        ("@weekly", "0 0 0 * * 0"),
        (" @Daily ", "0 0 0 * * *"),
        # KFP's parser does not accept 7
        ("0 3 * * 7", "0 0 3 * * 0"),
        ("0 3 * * 5-7", "0 0 3 * * 0,5,6"),
        ("0 3 * * 1-7/2", "0 0 3 * * 0,1,3,5"),
        ("0 3 1 * 7,*/3", "0 0 3 1 * */3,0"),
    ],
)
def test_an_expression_becomes_six_fields(given, sent):
    assert parse_cron(given) == parse_cron(sent) == sent


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("0 3 * * 1", ["2026-11-30 03:00:00", "2026-12-07 03:00:00", "2026-12-14 03:00:00"]),
        ("30 12 * * 1", ["2026-11-30 12:30:00", "2026-12-07 12:30:00", "2026-12-14 12:30:00"]),  # the start itself does not count
        ("15,45 */12 * * *", ["2026-11-23 12:45:00", "2026-11-24 00:15:00", "2026-11-24 00:45:00"]),
        ("@monthly", ["2026-12-01 00:00:00", "2027-01-01 00:00:00", "2027-02-01 00:00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00:00"]),
        ("50/5 12 * * SUN,TUE", ["2026-11-24 12:50:00", "2026-11-24 12:55:00", "2026-11-29 12:50:00"]),
        # one of the days has to match if both are restricted, both if one begins with a star
        ("0 0 25 * WED", ["2026-11-25 00:00:00", "2026-12-02 00:00:00", "2026-12-09 00:00:00"]),
        ("0 0 25 12 THU", ["2026-12-03 00:00:00", "2026-12-10 00:00:00", "2026-12-17 00:00:00"]),
        ("0 0 */2 * WED", ["2026-11-25 00:00:00", "2026-12-09 00:00:00", "2026-12-23 00:00:00"]),
        ("0 0 1,*/2 * WED", ["2026-11-25 00:00:00", "2026-12-09 00:00:00", "2026-12-23 00:00:00"]),
    ],
)
def test_the_next_times(expression, expected):
    assert times(expression, len(expected)) == expected


@pytest.mark.parametrize(
    "expression, words",
    [
        ("0 3 * *", "has 4 fields"),
        ("", "has 0 fields"),
        ("@fortnightly", "@weekly"),
        ("60 3 * * 1", "minute: '60' is invalid; allowed: 0 to 59"),
        ("0 24 * * *", "hour: '24' is invalid"),
        ("0 3 0 * *", "day of the month: '0' is invalid; allowed: 1 to 31"),
        ("0 3 * 13 *", "month: '13' is invalid"),
        ("0 3 * MON *", "month: 'MON' is invalid; allowed: 1 to 12 or JAN to DEC"),
        ("0 3 * * 8", "day of the week: '8' is invalid; allowed: 0 to 7 or SUN to SAT"),
        ("0 3 * * FRI-MON", "day of the week: 'FRI-MON' is invalid"),
        ("*/0 3 * * *", "minute: '*/0' is invalid"),
        ("5- 3 * * *", "minute: '5-' is invalid"),
        ("1,,2 3 * * *", "minute: '1,,2' is invalid"),
        ("-1 3 * * *", "minute: '-1' is invalid"),
        ("61 0 3 * * 1", "second: '61' is invalid"),
        ("0 0 30 2 *", "never occurs"),
        # notations that KFP does not know
        ("0 3 L * *", "day of the month: 'L' is invalid"),
        ("0 3 * * MON#2", "day of the week: 'MON#2' is invalid"),
        ("0 3 * * 5L", "day of the week: '5L' is invalid"),
    ],
)
def test_an_error_names_the_wrong_field(expression, words):
    with pytest.raises(InputError, match="--cron") as caught:
        parse_cron(expression)
    assert words in str(caught.value)
