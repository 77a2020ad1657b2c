"""A restoration: into an empty home and an empty database, which then are at this version's schema.

The order lets an interrupted restoration begin again: the database is filled in one transaction, pictures
have the same keys each time, and the keys come last.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from db.migrate import current, downgrade, upgrade
from ops.backup.archive import PICTURES, SETTINGS, Archive, BackupManifest, Opener, read_small
from ops.backup.create import BackupProgress, as_tables
from ops.backup.database import is_empty, loading
from ops.backup.pictures import PicturePool, listed
from ops.stack.home import StackHome
from semblance.errors import BadInputError, ConfigurationError
from semblance.files import file_sha256, write_file
from semblance.settings import Settings
from semblance.storage.opening import open_storage

RESTORED_SETTINGS: Final = "restored.env"
"""In the home: the settings that were in force when the backup was made."""

_OLD_PLACES: Final = tuple(
    f"SEMBLANCE_{place}=".encode() for place in ("HOME", "DATABASE_URL", "OWNER_DATABASE_URL", "STORAGE_URL")
)
"""Begin the lines of settings that a restoration must not bring back: they would lead a service away from
what was restored, to the places of the old one."""


def check_restorable(settings: Settings, name: str) -> None:
    """Raises ConfigurationError if the home is in use, or has keys and pictures that a restoration would mix
    with those of the backup."""
    home = StackHome.of(settings)
    if home.is_run():
        raise ConfigurationError(f"The stack in {home.root} is running. Stop it first: semblance down.")
    begun = _interrupted(home)
    if begun is None and (_holds_files(home.keys) or _holds_files(home.objects)):
        raise ConfigurationError(
            f"{home.root} is not empty. Name an empty home in SEMBLANCE_HOME, so that nothing is mixed."
        )
    if begun not in {None, name}:
        raise ConfigurationError(
            f"{home.root} holds part of the backup {begun}. Complete it with --backup {begun}, or name an "
            "empty home in SEMBLANCE_HOME."
        )


def restore(
    settings: Settings, dsn: str, *, archive: Archive, name: str, opener: Opener, progress: BackupProgress
) -> BackupManifest:
    """Restore a backup; returns what it held. Can be run again after an interruption.

    Args:
        dsn: of the owner of an empty database.

    Raises ConfigurationError if the database is not empty, BadInputError if the backup is damaged, sealed for
    others, or of a newer version, DatabaseError, StorageError.
    """
    home = StackHome.of(settings)
    home.prepare()
    manifest = archive.manifest(name)
    if opener.opens and not manifest.sealed:
        # Sealed content may have been replaced by somebody who can write to the folder.
        raise BadInputError(
            f"The backup {name} is not sealed, so no identity protects it. If you made it without "
            "--recipient, restore it without --identity; otherwise somebody has replaced it."
        )
    backup = archive.folder / name
    for each, content in manifest.tables.items():
        _check(backup / "database" / f"{each}.gz", content.sha256)
    _check(backup / PICTURES, manifest.pictures_sha256)
    with opener.unpacked(backup / PICTURES, home.root, sealed=manifest.sealed) as lines:
        for _ in listed(lines, manifest.pictures):
            pass  # All lines are checked before anything is changed.

    if current(dsn) is not None and _interrupted(home) is None and not is_empty(dsn):
        raise ConfigurationError("The database is not empty: a backup is restored into an empty one.")
    write_file(home.restoring_file, name)
    if current(dsn) not in {None, manifest.revision}:
        downgrade(dsn, None)
    upgrade(dsn, manifest.revision)
    with loading(dsn) as loader:
        for table in as_tables(manifest):
            progress.table(table.name)
            file = backup / "database" / f"{table.name}.gz"
            with opener.unpacked(file, home.root, sealed=manifest.sealed) as rows:
                if loader.copy(table, rows) != manifest.tables[table.name].rows:
                    raise BadInputError(f"{file} does not have the rows that it should.")
        for sequence, (value, given_out) in manifest.sequences.items():
            loader.set_sequence(sequence, value, given_out)
    upgrade(dsn)

    pool = PicturePool(archive, open_storage(settings), settings.max_image_bytes)
    with opener.unpacked(backup / PICTURES, home.root, sealed=manifest.sealed) as lines:
        pictures = listed(lines, manifest.pictures)
        asyncio.run(pool.restore(pictures, opener, sealed=manifest.sealed, advance=progress.picture))
    for key in manifest.keys:
        file = backup / "keys" / key
        try:
            stored = read_small(file)
        except FileNotFoundError as exc:
            raise BadInputError(f"{file} is missing. Restore another backup.") from exc
        data = opener.open(stored, sealed=manifest.sealed)
        write_file(home.keys / key, data)
    with opener.unpacked(backup / SETTINGS, home.root, sealed=manifest.sealed) as lines:
        kept = [line for line in lines if not line.startswith(_OLD_PLACES)]
        write_file(home.root / RESTORED_SETTINGS, b"".join(kept))
    home.restoring_file.unlink()
    return manifest


def _check(file: Path, sha256: str) -> None:
    try:
        is_whole = file_sha256(file) == sha256
    except OSError:
        is_whole = False
    if not is_whole:
        raise BadInputError(f"{file} is missing or damaged. Restore another backup.")


def _interrupted(home: StackHome) -> str | None:
    """The backup whose restoration was interrupted here."""
    try:
        return home.restoring_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _holds_files(folder: Path) -> bool:
    return any(file.is_file() for file in folder.rglob("*"))
