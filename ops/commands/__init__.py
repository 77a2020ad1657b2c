"""The `semblance` command line.

A package for each group of commands: its `commands.py` declares them, with little to import, so that `--help`
is quick; the modules beside it do the work. `app.py` puts the groups together.
"""

from __future__ import annotations


def main() -> None:
    """Run `semblance`. An error that the project raises becomes its message and exit status 1."""
    # Imported late: Python imports this package for any part of it.
    from ops.commands.app import run  # noqa: PLC0415

    run()
