"""The `semblance` command line.

A package for each group of commands. Its `commands.py` declares them and imports little, so that `--help` is
quick; the package's other modules do the work. `app.py` puts the groups together.
"""

from __future__ import annotations


def main() -> None:
    """Run `semblance`. An error that the project raises becomes its message and exit status 1."""
    # Imported late: Python imports this package for any part of it.
    from ops.commands.app import run  # noqa: PLC0415

    run()
