"""What all tests share."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow tests first, so that no process ends with a long one while the others have nothing left to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
