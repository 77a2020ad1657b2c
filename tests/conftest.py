"""Fixtures that several test packages share."""

import gc
import os

from hypothesis import settings

from semblance.old_names import OLD_NAMES

# A shell's DATABASE_URL is read where ours is unset, and must not become the database of a test.
for names in OLD_NAMES.values():
    for name in names:
        os.environ.pop(name, None)

# How long an example takes is up to the machine and what else runs on it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

pytest_plugins = [
    "tests.support.api",
    "tests.support.bucket",
    "tests.support.certificates",
    "tests.support.disks",
    "tests.support.event_loop",
    "tests.support.fal",
    "tests.support.postgres",
    "tests.support.old_app",
    "tests.support.rows_many",
    "tests.support.selection",
    "tests.support.service",
]


def pytest_collection_finish() -> None:
    """Keep six thousand tests out of every later garbage collection, which takes a tenth of the time
    otherwise."""
    gc.collect()
    gc.freeze()
