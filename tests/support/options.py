"""Options of this project's tests."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the service finds its database, and for developers of pages."""
    parser.addoption(
        "--behind-pooler",
        action="store_true",
        help="Connect the service through a PgBouncer in transaction mode, with few connections.",
    )
    parser.addoption("--without-ray", action="store_true", help="Look at the console of an API without Ray.")
    parser.addoption("--look", type=Path, metavar="FOLDER", help="Write what pages look like into a folder.")
