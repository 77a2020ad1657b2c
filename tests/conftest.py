"""Fixtures that several test packages share, and which tests may run at the same time."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.api", "tests.bucket", "tests.fal", "tests.postgres", "tests.service"]

GROUPS = {"serve": "stacks", "stack": "stacks", "batch": "batch"}
"""Folders whose tests need a Ray, by the process of pytest-xdist that they share: one Ray at a time is what a
small machine can take."""

ORDER = ["stack", "serve", "", "batch"]
"""Stacks of a test's own come before the one that tests share, which stays. The other tests run beside both,
and the last Ray comes when they are over."""


# First, because pytest-xdist reads the groups in a hook of the same name.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by group, and tell pytest-xdist."""

    def folder(item: pytest.Item) -> str:
        return item.path.relative_to(item.config.rootpath).parts[1]

    def place(item: pytest.Item) -> int:
        return ORDER.index(folder(item) if folder(item) in GROUPS else "")

    items.sort(key=place)
    for item in items:
        if group := GROUPS.get(folder(item)):
            item.add_marker(pytest.mark.xdist_group(group))
