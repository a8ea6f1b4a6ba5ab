"""The test server must be as strict as the real one, or the tests that use it show nothing."""

import pytest

from tests.pipeline.kfp_server import check

SCHEDULE = {
    "display_name": "kdflow",
    "mode": "ENABLE",
    "max_concurrency": 1,
    "no_catchup": True,
    "trigger": {"cron_schedule": {"cron": "0 0 3 * * 1", "start_time": "2026-11-23T00:00:00Z"}},
    "runtime_config": {"parameters": {"seed": 0, "data": {"val": 0.1}}},
    "pipeline_version_reference": {"pipeline_id": "1", "pipeline_version_id": "2"},
}


def test_a_body_of_the_published_form_passes():
    check(SCHEDULE, "V2beta1RecurringRun")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "kdflow"},  # v1beta1's field
        {"enabled": True},
        {"mode": "ENABLED"},
        {"no_catchup": "true"},
        {"max_concurrency": 1.5},
        {"trigger": {"cron": "0 0 3 * * 1"}},
        {"trigger": {"cron_schedule": {"cron": ["0"]}}},
        {"trigger": {"cron_schedule": {"start_time": "tomorrow"}}},
        {"runtime_config": {"parameters": []}},
        {"pipeline_version_reference": "2"},
    ],
)
def test_any_other_body_is_refused(wrong):
    with pytest.raises((AssertionError, ValueError)):
        check({**SCHEDULE, **wrong}, "V2beta1RecurringRun")
