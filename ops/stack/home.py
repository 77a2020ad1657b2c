"""The home of a stack: its folders, secrets and lock."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Self

from semblance.errors import ConfigurationError
from semblance.files import create_file, read_file
from semblance.lock import ProcessLock
from semblance.running import LOCK_FILE, STATE_FILE
from semblance.settings import Settings

_LEAST_SECRET = 32
"""Characters of the shortest secret generated here."""


@dataclass(frozen=True, slots=True)
class StackHome:
    """Paths of one stack. `root` is absolute and free of symlinks, so that it identifies the stack."""

    root: Path

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Raises ConfigurationError for a folder that does not exist from here, or is closed to this user."""
        try:
            home = cls(settings.home.resolve())
            is_closed = any(
                path.exists() and not os.access(path, rights)
                for path, rights in ((home.root, os.R_OK | os.X_OK), (home.lock_file, os.R_OK))
            )
            str(home.root).encode()
        except UnicodeEncodeError as exc:
            raise ConfigurationError(
                f"The name of the folder {str(settings.home)!r} is not UTF-8. Set SEMBLANCE_HOME to another."
            ) from exc
        except (OSError, RuntimeError) as exc:
            # The working directory is gone, or symlinks lead in a circle.
            raise ConfigurationError(
                f"SEMBLANCE_HOME={settings.home} leads nowhere from here ({exc}). Give the whole path."
            ) from exc
        if is_closed:
            # Otherwise it would look as if nothing ran there.
            raise ConfigurationError(
                f"SEMBLANCE_HOME={home.root} is closed to you. Run this as the user to whom it belongs."
            )
        return home

    @property
    def stack_id(self) -> str:
        """Twelve hex digits that identify this stack on the machine."""
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def ray(self) -> Path:
        return self.root / "ray"

    @property
    def ray_sessions(self) -> Path:
        """Given to Ray, which opens it to all users; `ray` above it stays closed."""
        return self.ray / "sessions"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def state_file(self) -> Path:
        return self.root / STATE_FILE

    @property
    def restoring_file(self) -> Path:
        """Exists while a restoration of this home is not complete, and holds the name of the backup."""
        return self.root / "restoring"

    @property
    def lock_file(self) -> Path:
        return self.root / LOCK_FILE

    @property
    def guardian_lock_file(self) -> Path:
        return self.root / "guardian.lock"

    @property
    def command_lock_file(self) -> Path:
        """Held by a command that keeps the stack up in the foreground."""
        return self.root / "command.lock"

    @property
    def ray_lock_file(self) -> Path:
        return self.ray / "lock"

    @property
    def ray_token_file(self) -> Path:
        return self.keys / "ray_token"

    @property
    def supervisor_log(self) -> Path:
        return self.logs / "supervisor.log"

    @property
    def ray_log(self) -> Path:
        return self.logs / "ray.log"

    @property
    def gateway(self) -> Path:
        """Folder of the gateway's configuration and admin socket."""
        return self.root / "gateway"

    @property
    def gateway_log(self) -> Path:
        return self.logs / "gateway.log"

    @property
    def short_ray(self) -> Path:
        """A short name for `ray_sessions`: socket paths are 64 bytes longer, and limited to 107 bytes."""
        return Path(gettempdir()) / f"smb-{os.getuid()}-{self.stack_id}"

    def prepare(self) -> None:
        """Make the folders, closed to other users.

        Raises ConfigurationError if the folder cannot be made or written.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.objects, self.keys, self.logs, self.ray, self.ray_sessions, self.reports):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise ConfigurationError(
                f"Cannot use {self.root}: {exc.strerror}. Set SEMBLANCE_HOME to a folder that you can write."
            ) from exc

    def is_kept(self) -> bool:
        """Whether a guardian, or a command in the foreground, restarts the supervisor when it dies."""
        return any(ProcessLock(file).is_held() for file in (self.guardian_lock_file, self.command_lock_file))

    def is_run(self) -> bool:
        """Whether a supervisor runs, or is going to be restarted."""
        return StackLock(self).is_held() or self.is_kept()

    def link_ray(self) -> Path:
        """Point `short_ray` at `ray_sessions`. Other users can write to its folder, so an existing link must
        be ours.

        Raises ConfigurationError if something else has that name.
        """
        link = self.short_ray
        try:
            link.symlink_to(self.ray_sessions)
        except FileExistsError as exc:
            if (
                not link.is_symlink()
                or link.lstat().st_uid != os.getuid()
                or link.readlink() != self.ray_sessions
            ):
                raise ConfigurationError(
                    f"{link} is in the way: it should be your own link to {self.ray_sessions}. Remove it."
                ) from exc
        return link

    def link_environment(self) -> Path:
        """Make a short name for the environment of this process, below `short_ray`, and return the folder of
        its programs. Ray passes its interpreter to a shell unquoted: no worker would start from a path with a
        space.

        Raises ConfigurationError as `link_ray`.
        """
        programs = Path(sys.executable).parent
        link = self.link_ray() / "environment"
        link.unlink(missing_ok=True)
        link.symlink_to(programs.parent)
        return link / programs.name

    def unlink_ray(self) -> None:
        if self.short_ray.is_symlink() and self.short_ray.lstat().st_uid == os.getuid():
            self.short_ray.unlink(missing_ok=True)

    @property
    def api_key_file(self) -> Path:
        return self.keys / "api_key"

    def api_key(self) -> str:
        """The service key, generated at first use."""
        return _secret(self.api_key_file, "smb_" + secrets.token_urlsafe(32))

    def jwt_secret(self) -> str:
        """The HS256 secret of users' access tokens, generated at first use."""
        return _secret(self.keys / "jwt_secret", secrets.token_urlsafe(48))

    def cron_secret(self) -> str:
        """The secret of the cron endpoints, generated at first use."""
        return _secret(self.keys / "cron_secret", secrets.token_urlsafe(32))

    def ray_token(self) -> str:
        """The token that Ray asks of everyone who talks to this stack's cluster, generated at first use."""
        return _secret(self.ray_token_file, secrets.token_hex(32))


class StackLock(ProcessLock):
    """Held by the supervisor while its stack exists."""

    def __init__(self, home: StackHome) -> None:
        super().__init__(home.lock_file)


def _secret(path: Path, candidate: str) -> str:
    """The content of `path`, mode 0600. A missing file is created with `candidate`.

    Raises ConfigurationError if the file does not hold a secret.
    """
    try:
        if not path.exists():
            create_file(path, candidate)
        content = read_file(path).decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"Cannot read the secret in {path}: {exc}") from exc
    secret = content.strip()
    # A crash can leave zeros, or an empty file.
    if len(secret) < _LEAST_SECRET or not (secret.isascii() and secret.isprintable()):
        raise ConfigurationError(
            f"{path} does not hold a secret of at least {_LEAST_SECRET} characters: a crash or an editor cut "
            "it. Restore it from a copy; or remove the file to have a new secret generated, and give that to "
            "everyone who uses the old one."
        )
    return secret
