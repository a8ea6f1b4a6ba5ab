"""What all tests share."""

import pytest

LONG = ("container", "slow")
"""Marks from the longest on."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long tests first, so that no process ends with one while the others have nothing left to do."""
    items.sort(key=lambda item: next((place for place, mark in enumerate(LONG) if item.get_closest_marker(mark)), len(LONG)))
