"""Fixtures that several test packages share, and which tests may run at the same time."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.api", "tests.bucket", "tests.fal", "tests.postgres", "tests.service"]

GROUPS = {"serve": "stacks", "stack": "stacks", "batch": "batch"}
"""Folders whose tests need a Ray, by the process of pytest-xdist that they share: one Ray at a time is what a
small machine can take."""

ORDER = ["stacks", None, "batch"]
"""All other tests run beside the longest group; the second Ray comes when that is over."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by group, and tell pytest-xdist."""

    def group(item: pytest.Item) -> str | None:
        return GROUPS.get(item.path.relative_to(item.config.rootpath).parts[1])

    items.sort(key=lambda item: ORDER.index(group(item)))
    for item in items:
        if name := group(item):
            item.add_marker(pytest.mark.xdist_group(name))
