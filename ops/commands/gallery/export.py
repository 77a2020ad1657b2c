"""`semblance gallery export`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from batch.progress import JobProgress
from db.celebrities import Celebrities
from db.gallery_export import GalleryExport
from ops.commands.database import connected, open_database
from ops.commands.output import console
from semblance.errors import ConfigurationError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from serve_app.gallery_export import METADATA, exported_files


def export_gallery(settings: Settings, folder: Path) -> None:
    """Write the gallery into a folder and print how many pictures that are.

    Raises ConfigurationError if the folder has contents or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigurationError(f"{folder} is not empty. Name a new folder.")
        with open_database(settings) as dsn:
            written, left_out = asyncio.run(_export(settings, dsn, folder))
    except OSError as exc:
        raise ConfigurationError(f"{folder} cannot be written: {exc.strerror or exc}.") from exc
    console.print(f"{written:,} pictures in {folder}", highlight=False, soft_wrap=True)
    if left_out:
        console.print(f"[yellow]{left_out:,} more were left out: their file is missing; see {METADATA}.[/]")


async def _export(settings: Settings, dsn: str, folder: Path) -> tuple[int, int]:
    storage = open_storage(settings)
    async with connected(dsn) as database:
        number = await Celebrities(database).count()
        written = 0
        export = GalleryExport(database)
        await export.begin()
        with JobProgress(console, "export", number) as progress:
            async for file in exported_files(export, storage):
                await asyncio.to_thread(_write, folder / file.path, file.data)
                if file.path != METADATA:
                    written += 1
                    progress.advance(1, 0)
    return written, max(0, number - written)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
