"""`semblance backup` and `semblance restore`, with progress."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.markup import escape

from ops.backup.archive import Archive, Opener, Sealer
from ops.backup.create import BackupProgress, back_up
from ops.backup.restore import RESTORED_SETTINGS, check_restorable, restore
from ops.commands.database import open_database
from ops.commands.output import console, place_of
from ops.stack.home import StackHome
from semblance.errors import BadInputError, StorageError
from semblance.settings import Settings


def run_backup(settings: Settings, folder: Path, recipients: list[str], keep: int | None) -> None:
    """Back up into the folder, and remove what exceeds `keep`. Raises SemblanceError."""
    archive, sealer = Archive(folder), Sealer(recipients)
    with (
        _writing("The backup"),
        archive.held(),
        open_database(settings, as_owner=True) as dsn,
        _progress("Backing up") as progress,
    ):
        done = back_up(settings, dsn, archive=archive, sealer=sealer, progress=progress)
        removed = [] if keep is None else archive.prune(keep)
    rows = sum(table.rows for table in done.manifest.tables.values())
    console.print(
        f"Backed up {rows:,} rows and {done.manifest.pictures:,} pictures, {done.copied:,} of them new: "
        f"{escape(str(folder / done.name))}",
        soft_wrap=True,
    )
    if not sealer.seals:
        console.print(
            "It is not sealed: anybody who reads the folder has the keys and photos. See --recipient."
        )
    for name in removed:
        console.print(f"Removed {name}.")


def run_restore(settings: Settings, folder: Path, name: str | None, identity: Path | None) -> None:
    """Restore a backup of the folder, the latest by default. Raises SemblanceError."""
    archive, opener = Archive(folder), Opener(identity)
    names = archive.names()
    if not names:
        raise BadInputError(f"There is no complete backup in {folder}.")
    chosen = name or names[-1]
    archive.manifest(chosen)
    check_restorable(settings, chosen)
    with (
        _writing("The restoration"),
        open_database(settings, as_owner=True) as dsn,
        _progress("Restoring") as progress,
    ):
        manifest = restore(settings, dsn, archive=archive, name=chosen, opener=opener, progress=progress)
    rows = sum(table.rows for table in manifest.tables.values())
    home = StackHome.of(settings).root
    console.print(
        f"Restored {rows:,} rows and {manifest.pictures:,} pictures of {chosen}. Its settings are in "
        f"{escape(str(home / RESTORED_SETTINGS))}. Next: "
        f"SEMBLANCE_HOME={escape(shlex.quote(str(home)))} semblance up",
        soft_wrap=True,
    )


@contextmanager
def _writing(what: str) -> Iterator[None]:
    """Say in a sentence that a disk is full or gone."""
    try:
        yield
    except OSError as exc:
        raise StorageError(
            f"{what} is not complete: {exc.strerror or exc}{place_of(exc)}. Run it again once that is mended."
        ) from exc


@contextmanager
def _progress(doing: str) -> Iterator[BackupProgress]:
    with console.status(doing) as status:
        pictures = 0

        def table(name: str) -> None:
            status.update(f"{doing} the table {name}")

        def picture(more: int) -> None:
            nonlocal pictures
            pictures += more
            status.update(f"{doing} pictures: {pictures:,}")

        yield BackupProgress(table, picture)
