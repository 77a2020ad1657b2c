"""The processes of a run share the rewriting of assertions.

All of them collect all tests, in the same order. In a new clone each would rewrite each module, for which it
takes longer than to import it.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress

import pytest


def pytest_collection(session: pytest.Session) -> None:
    """Import a part of the modules first: the other processes find it compiled."""
    process = os.environ.get("PYTEST_XDIST_WORKER", "")
    is_whole_run = session.config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if not process or not is_whole_run or sys.dont_write_bytecode:
        return
    modules = sorted(session.config.rootpath.glob("tests/**/test_*.py"))
    for path in modules[int(process.removeprefix("gw")) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]:
        # What cannot be imported is reported by the collection.
        with suppress(Exception):
            importlib.import_module(".".join(path.relative_to(session.config.rootpath).with_suffix("").parts))
