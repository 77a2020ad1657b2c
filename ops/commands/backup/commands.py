"""`semblance backup` and `semblance restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.commands.environment import get_settings

Folder = Annotated[Path, typer.Argument(help="The folder of the backups.", file_okay=False)]


def backup(
    folder: Folder,
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            help="Seal the backup for this public key, which age-keygen prints. Can be repeated.",
            metavar="AGE1…",
        ),
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Remove all but the latest backups. Default: keep all.")
    ] = None,
) -> None:
    """Back up the database, the pictures, the keys and the settings.

    It can run while the service runs: the rows are those of one moment. Pictures are copied once and shared
    by all backups of the folder, so that later ones take seconds. The folder may be a mounted disk or share;
    tools such as rclone or restic can carry it elsewhere.

    With [cyan]--recipient[/] everything is sealed by age (age-encryption.org), and only the private key opens
    it; keep that key somewhere else. Without, the folder holds the keys of the service in clear.

    A backup that fails removes what it has written; what a killed one left is removed by the next.

    [bold]Examples[/]

      semblance backup /mnt/backups
      semblance backup /mnt/backups --keep 14 --recipient age1qyqszqgpqyqszqgp…
    """
    from ops.commands.backup.running import run_backup

    run_backup(get_settings(), folder, recipient or [], keep)


def restore(
    folder: Folder,
    name: Annotated[
        str | None, typer.Option("--backup", help="Which backup. Default: the latest.", metavar="NAME")
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option(help="File of the private key that age-keygen wrote.", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """Restore a backup into an empty home, also with a newer version of Semblance.

    The home is that of SEMBLANCE_HOME, and the database the embedded one there, or the empty one that
    SEMBLANCE_OWNER_DATABASE_URL or SEMBLANCE_DATABASE_URL names. Settings are environment variables, which a
    program cannot set for you: those of the backup end up in the home as [cyan]restored.env[/].

    If it is interrupted, run the same command again.

    [bold]Examples[/]

      SEMBLANCE_HOME=/srv/semblance semblance restore /mnt/backups
      semblance restore /mnt/backups --backup 2026-11-27T170512Z --identity backup.key
    """
    from ops.commands.backup.running import run_restore

    run_restore(get_settings(), folder, name, identity)
