"""A backup: the pictures, then the database as it is at one moment, then the pictures that came meanwhile.

Rows are written after their pictures, so every picture that a row of the snapshot names is in the store by
then. One that is deleted while it is copied is missing in the backup; the sweep reports such rows.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from db.migrate import current
from ops.backup.archive import (
    NAMES,
    PICTURES,
    SETTINGS,
    Archive,
    BackedUpTable,
    BackupManifest,
    Sealer,
)
from ops.backup.database import CopiedTable, snapshot
from ops.backup.pictures import PicturePool, PooledPicture
from ops.stack.home import StackHome
from semblance import __version__
from semblance.errors import ConfigurationError
from semblance.files import file_sha256, write_file
from semblance.settings import Settings, variable
from semblance.storage.opening import open_storage


@dataclass(frozen=True, slots=True)
class BackupProgress:
    """Hears how far a backup or a restoration is. table: called before each. picture: with how many more."""

    table: Callable[[str], None]
    picture: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A complete backup. copied: pictures that the archive did not have."""

    name: str
    manifest: BackupManifest
    copied: int


def back_up(
    settings: Settings, dsn: str, *, archive: Archive, sealer: Sealer, progress: BackupProgress
) -> BackupResult:
    """Back up everything, while the service runs or not.

    Args:
        dsn: of the database's owner.

    Raises ConfigurationError if there is nothing to back up or the archive cannot be used, DatabaseError,
    StorageError.
    """
    if current(dsn) is None:
        raise ConfigurationError("The database is empty: there is nothing to back up.")
    home = StackHome.of(settings)
    if home.restoring_file.exists():
        # The newest backup would lack pictures, and the good ones make room for it.
        raise ConfigurationError(
            f"The restoration of {home.root} is not complete. Run the same `semblance restore` again first."
        )
    home.prepare()
    with archive.begin() as backup:
        pool = PicturePool(archive, open_storage(settings), settings.max_image_bytes)
        pictures: dict[str, PooledPicture] = {}
        copied = asyncio.run(pool.copy_all(sealer, pictures, progress.picture))
        tables = {}
        with snapshot(dsn) as rows:
            # With the rows: a migration may have come while the pictures were copied.
            revision = rows.revision()
            sequences = rows.sequences()
            for table in rows.tables():
                progress.table(table.name)
                file = backup / "database" / f"{table.name}.gz"
                with sealer.packed(file, home.root) as target:
                    count = rows.copy(table, target)
                tables[table.name] = BackedUpTable(
                    columns=table.columns, rows=count, sha256=file_sha256(file)
                )
        copied += asyncio.run(pool.copy_all(sealer, pictures, lambda _: None))
        with sealer.packed(backup / PICTURES, home.root) as target:
            target.writelines(picture.line() for picture in pictures.values())
        write_file(backup / NAMES, "\n".join(picture.name for picture in pictures.values()))
        manifest = BackupManifest(
            semblance=__version__,
            created_at=datetime.now(UTC),
            revision=revision,
            sealed=sealer.seals,
            tables=tables,
            sequences=sequences,
            pictures=len(pictures),
            pictures_sha256=file_sha256(backup / PICTURES),
            keys=_back_up_keys(home, backup, sealer),
        )
        with sealer.packed(backup / SETTINGS, home.root) as target:
            target.write(settings_in_force().encode())
        archive.end(backup, manifest)
    return BackupResult(backup.name, manifest, copied)


def settings_in_force() -> str:
    """The variables that set the service, as lines of a file of settings. SEMBLANCE_URL and the like, which
    `semblance env` sets for requests, are none."""
    known = {variable(name) for name in Settings.model_fields}
    found = {name: value for name, value in sorted(os.environ.items()) if name.upper() in known}
    return "".join(f"{name}={value}\n" for name, value in found.items())


def _back_up_keys(home: StackHome, backup: Path, sealer: Sealer) -> list[str]:
    (backup / "keys").mkdir(mode=0o700)
    files = sorted(file for file in home.keys.iterdir() if file.is_file())
    for file in files:
        write_file(backup / "keys" / file.name, sealer.seal(file.read_bytes()))
    return [file.name for file in files]


def as_tables(manifest: BackupManifest) -> list[CopiedTable]:
    """The tables of a backup."""
    return [CopiedTable(name, table.columns) for name, table in manifest.tables.items()]
