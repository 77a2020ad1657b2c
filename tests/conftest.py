"""Fixtures that several test packages share."""

pytest_plugins = [
    "tests.support.api",
    "tests.support.bucket",
    "tests.support.disks",
    "tests.support.fal",
    "tests.support.selection",
    "tests.support.postgres",
    "tests.support.service",
]
