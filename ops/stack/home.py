"""The folder of a stack: where everything lies, its secrets, and its lock."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Self

from semblance.errors import ConfigurationError
from semblance.files import create_file
from semblance.lock import ProcessLock
from semblance.running import LOCK_FILE, STATE_FILE
from semblance.settings import Settings

_LEAST_SECRET = 32
"""Characters of the shortest secret that is made here."""


@dataclass(frozen=True, slots=True)
class StackHome:
    """Paths of one stack; `root` is absolute and free of symlinks, so that it names the stack."""

    root: Path

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.home.expanduser().resolve())

    @property
    def stack_id(self) -> str:
        """Twelve hex digits that tell this stack from every other one of the machine."""
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
        """Given to Ray, which opens it to everybody; `ray` above it stays closed."""
        return self.ray / "sessions"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def state_file(self) -> Path:
        return self.root / STATE_FILE

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
        """Its configuration and admin socket."""
        return self.root / "gateway"

    @property
    def gateway_log(self) -> Path:
        return self.logs / "gateway.log"

    @property
    def short_ray(self) -> Path:
        """A short name of `ray_sessions`: sockets lie 64 bytes deeper, and their paths end at 107."""
        return Path(gettempdir()) / f"smb-{os.getuid()}-{self.stack_id}"

    def prepare(self) -> None:
        """Make the folders, closed to other users.

        Raises ConfigurationError where the folder cannot be made or written.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.objects, self.keys, self.logs, self.ray, self.ray_sessions, self.reports):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise ConfigurationError(
                f"Cannot use {self.root}: {exc.strerror}. Set SEMBLANCE_HOME to a folder you may write."
            ) from exc

    def is_kept(self) -> bool:
        """Whether a guardian, or a command in the foreground, restarts the supervisor when it dies."""
        return any(ProcessLock(file).is_held() for file in (self.guardian_lock_file, self.command_lock_file))

    def is_run(self) -> bool:
        """Whether a supervisor runs, or is going to be restarted."""
        return StackLock(self).is_held() or self.is_kept()

    def link_ray(self) -> Path:
        """Point `short_ray` at `ray_sessions`; others may write beside it, so what lies there must be ours.

        Raises ConfigurationError where another user, or something else, holds the name.
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

    def unlink_ray(self) -> None:
        if self.short_ray.is_symlink() and self.short_ray.lstat().st_uid == os.getuid():
            self.short_ray.unlink(missing_ok=True)

    def api_key(self) -> str:
        """The generated service key, made at first use."""
        return _secret(self.keys / "api_key", "smb_" + secrets.token_urlsafe(32))

    def jwt_secret(self) -> str:
        """The generated HS256 secret of users' access tokens, made at first use."""
        return _secret(self.keys / "jwt_secret", secrets.token_urlsafe(48))

    def cron_secret(self) -> str:
        """The generated secret of the cron endpoints, made at first use."""
        return _secret(self.keys / "cron_secret", secrets.token_urlsafe(32))

    def ray_token(self) -> str:
        """The token Ray asks of everybody who talks to this stack's cluster, made at first use."""
        return _secret(self.ray_token_file, secrets.token_hex(32))


class StackLock(ProcessLock):
    """Held by the supervisor while its stack exists."""

    def __init__(self, home: StackHome) -> None:
        super().__init__(home.lock_file)


def _secret(path: Path, candidate: str) -> str:
    """The content of `path`, mode 0600; `candidate` becomes it where there is none.

    Raises ConfigurationError where what lies there is no secret.
    """
    try:
        if not path.exists():
            create_file(path, candidate)
        content = path.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"Cannot read the secret in {path}: {exc}") from exc
    secret = content.strip()
    # A crash can leave zeros as well as nothing.
    if len(secret) < _LEAST_SECRET or not (secret.isascii() and secret.isprintable()):
        raise ConfigurationError(
            f"{path} holds no secret of at least {_LEAST_SECRET} characters: a crash or an editor cut it. "
            "Put the secret back from a copy; or remove the file, and a new one is made, which those who "
            "have the old one must be told."
        )
    return secret
