"""Which tests run: tests whose photos are missing are left out, with one line of output, and tests that
start a Ray run alone."""

from __future__ import annotations

import os

import pytest

from tests.support import wide_photos

_LEFT_OUT = pytest.StashKey[int]()


LONGEST_NAME = 100
"""Characters of a parameter that names a test."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long texts do not name tests: some hold the time, as tokens do, and processes that share a run must
    collect the same names."""
    return argname if isinstance(val, (str, bytes)) and len(val) > LONGEST_NAME else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Applied after `-m` and `-k`, so a run that does not select these tests does not mention them."""
    if wide_photos.is_there():
        return
    left_out = [item for item in items if item.get_closest_marker("photos")]
    config.stash[_LEFT_OUT] = len(left_out)
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a process of xdist report the number to the main one."""
    output: dict[str, int] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = session.config.stash.get(_LEFT_OUT, 0)


class _Controller:
    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Every process leaves out the same tests."""
        config: pytest.Config = node.config  # type: ignore[attr-defined]
        config.stash[_LEFT_OUT] = node.workeroutput.get("left_out", 0)  # type: ignore[attr-defined]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Controller())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{left_out} tests left out for want of photos: {wide_photos.HOW_TO_GET_THEM}.", yellow=True
        )


@pytest.fixture(scope="session")
def alone(request: pytest.FixtureRequest) -> None:
    """For fixtures that start a Ray, of which a machine bears few."""
    # Xdist puts the group behind the id. Not every version of pytest lets it.
    if "PYTEST_XDIST_WORKER" in os.environ and "@" not in request.session.items[0].nodeid.rpartition("]")[2]:
        pytest.fail(
            "This starts a Ray: mark the test with pytest.mark.ray, and run it without -n, or with "
            "-n 2 --dist loadgroup."
        )
