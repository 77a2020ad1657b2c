"""Fixtures that several test packages share."""

from hypothesis import settings

# How long an example takes is up to the machine and what else runs on it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

pytest_plugins = [
    "tests.support.api",
    "tests.support.bucket",
    "tests.support.disks",
    "tests.support.fal",
    "tests.support.postgres",
    "tests.support.old_app",
    "tests.support.selection",
    "tests.support.service",
]
