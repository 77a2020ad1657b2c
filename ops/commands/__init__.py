"""The `semblance` command line."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `semblance` command: errors the project raises become one clear message."""
    # Imported late: Python imports this package for any part of it.
    from ops.commands.app import run  # noqa: PLC0415

    run()
