"""The folder of a stack: where everything lies, its secrets, and its lock."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Self

from semblance.errors import ConfigurationError
from semblance.settings import Settings


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
        return self.root / "state.json"

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


class StackLock:
    """Held by the supervisor while its stack exists; the kernel releases it however the process ends."""

    def __init__(self, home: StackHome) -> None:
        self._home = home
        self._path = home.root / "lock"
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False where another process holds it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
        self._fd = fd
        return True

    def holder(self) -> int | None:
        """The pid that holds the lock, or None where it is free."""
        probe = type(self)(self._home)
        if not self._path.exists() or probe.acquire():
            probe.release()
            return None
        content = self._path.read_text()
        return int(content) if content.isdigit() else None

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _secret(path: Path, candidate: str) -> str:
    """The content of `path`, mode 0600; `candidate` becomes it where there is none."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(fd, "w") as file:
        file.write(candidate)
    return candidate
