"""Fixtures that several test packages share."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.api", "tests.bucket", "tests.fal", "tests.postgres", "tests.service"]

TOGETHER = {"batch", "serve", "stack"}
"""Folders whose tests share a Ray or a stack, or need one each, and so run in one process."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell pytest-xdist which tests stay together."""
    for item in items:
        folder = item.path.relative_to(item.config.rootpath).parts[1]
        if folder in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(folder))
