"""Fixtures that several test packages share."""

import gc
import os
import signal
import sys
import tempfile
import zlib
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import settings

import deployments  # noqa: F401 - before onnxruntime, to which it forbids reports
from semblance.old_names import OLD_NAMES

# Importing and collecting make little garbage, but looking for it takes as long as the imports.
gc.disable()

# DATABASE_URL of a shell is read if ours is unset. It must not become the database of a test.
for names in OLD_NAMES.values():
    for name in names:
        os.environ.pop(name, None)

# All that tests call is on this machine. Reading what else a machine trusts takes a client 20 ms.
# What installs packages gets it back; the processes that run tests inherit it.
for name in ("SSL_CERT_DIR", "SSL_CERT_FILE"):
    os.environ.setdefault(f"MACHINES_{name}", os.environ.pop(name, ""))
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("support") / "authority.pem")


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


# What a shell runs in the background ignores SIGINT, and so would all that tests start and interrupt.
# Python's own handler would be replaced by asyncio for each fixture and each test, which takes .2 ms.
signal.signal(signal.SIGINT, _interrupted)

# With each request, httpx asks a module that comes with Trio. To look for one that is not there takes .1 ms.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]

# When pytest starts, it closes the folder of all its runs to other users. Under root, PostgreSQL is another
# user and would lose its data, so the runs of another checkout have another folder.
_temporary = Path(tempfile.gettempdir(), f"smb-tests-{zlib.crc32(f'{os.getuid()} {__file__}'.encode()):08x}")
_temporary.mkdir(exist_ok=True)
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_temporary))

# Tests do not need data to survive a loss of power. Waiting for the disk takes 2 ms, on some disks far more.
os.fsync = lambda fd: None

# The time of an example depends on the machine and its load.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

pytest_plugins = ["tests.support.options", "tests.support.rewriting", "tests.support.selection"]

_FIXTURES = (
    "tests.support.api",
    "tests.support.bucket",
    "tests.support.certificates",
    "tests.support.days",
    "tests.support.disks",
    "tests.support.event_loop",
    "tests.support.fal",
    "tests.support.fresh_settings",
    "tests.support.postgres",
    "tests.support.old_app",
    "tests.support.realtime",
    "tests.support.rows_many",
    "tests.support.service",
    "tests.support.targets",
    "tests.support.text_provider",
    "tests.support.wheel",
    "tests.support.browser",  # after those that it imports, so that their assertions are rewritten
)


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures, except in a process that has others run the tests: they wait until it has started,
    and importing all of the product takes seconds."""
    if not config.getoption("numprocesses", None):
        for name in _FIXTURES:
            config.pluginmanager.import_plugin(name)


def pytest_collection_finish() -> None:
    """Keep seven thousand tests out of every later garbage collection, which takes a tenth of the time
    otherwise. Of what a test leaves, little is garbage in a circle."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50)
    gc.enable()
