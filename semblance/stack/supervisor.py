"""The process behind a stack: starts everything, watches it, and takes everything down again.

`python -m semblance.stack.supervisor LEASE_FD`, by `front.launch` only. Reading end-of-file from the lease
means that the front is gone, in whatever way; the byte `events.DETACH` before it means that the stack shall
outlive it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil

from db.embedded import EmbeddedPostgres, application_dsn
from db.migrate import check_server, upgrade
from deployments.packs.registry import load_pack
from semblance.errors import SemblanceError
from semblance.logging import configure_logging
from semblance.settings import Settings, get_settings
from semblance.stack.events import DETACH, Event, emit
from semblance.stack.home import StackHome, StackLock
from semblance.stack.preflight import preflight
from semblance.stack.processes import STACK_MARK, sweep
from semblance.stack.ray_head import LOOPBACK, RayHead, RayPorts, head_environment
from semblance.stack.serve_deploy import SERVE_CONFIG, ServeClient, read_config
from semblance.stack.state import StackState, remove_state, write_state

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 1.0


class StopRequested(BaseException):
    """Raised in the main thread by the first SIGTERM, wherever it is waiting."""


class Supervisor:
    """One stack from start to end; `run` returns the exit status."""

    def __init__(self, settings: Settings, lease: int) -> None:
        self._settings = settings
        self._home = StackHome.of(settings)
        self._lease = lease
        self._ray: RayHead | None = None

    def run(self) -> int:
        lock = StackLock(self._home)
        if not lock.acquire():
            emit(Event(kind="busy"))
            return 0
        signal.signal(signal.SIGTERM, _request_stop)
        threading.Thread(target=self._watch_lease, daemon=True).start()
        status = 1
        try:
            self._repair()
            self._watch(self._start())
        except StopRequested:
            status = 0
        except SemblanceError as exc:
            logger.error("%s", exc.message)  # noqa: TRY400 - the message is written for people
            self._report(exc.message)
        except Exception as exc:
            logger.exception("The stack failed.")
            self._report(f"{type(exc).__name__}: {exc}")
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self._stop()
            lock.release()
        return status

    def _start(self) -> RayHead:
        settings, home = self._settings, self._home
        emit(Event(kind="step", text="Settings"))
        preflight(settings)
        if settings.database_url is None:
            emit(Event(kind="step", text="PostgreSQL"))
            owner_url = EmbeddedPostgres(home.postgres).start()
            database_url = application_dsn(owner_url)
        else:
            database_url = settings.database_url.get_secret_value()
            owner_url = (settings.owner_database_url or settings.database_url).get_secret_value()
        api_key = settings.api_key.get_secret_value() if settings.api_key else home.api_key()
        jwt_secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else home.jwt_secret()
        cron_secret = settings.cron_secret.get_secret_value() if settings.cron_secret else home.cron_secret()
        ports = RayPorts.choose(settings.host, settings.port, settings.dashboard_port)
        token = home.ray_token()
        environment = head_environment(
            os.environ,
            home,
            {
                "SEMBLANCE_HOME": str(home.root),
                "SEMBLANCE_DATABASE_URL": database_url,
                "SEMBLANCE_API_KEY": api_key,
                "SEMBLANCE_JWT_SECRET": jwt_secret,
                "SEMBLANCE_CRON_SECRET": cron_secret,
            },
        )
        # Ray takes seconds to come up; what else can go wrong is found in that time.
        ray = self._ray = RayHead(home, ports, environment)
        emit(Event(kind="step", text="Model pack"))
        load_pack(settings)
        emit(Event(kind="step", text="Database schema"))
        check_server(owner_url)
        upgrade(owner_url)
        emit(Event(kind="step", text="Ray"))
        ray.wait_ready()
        dashboard_url = f"http://{LOOPBACK}:{ports.dashboard}"
        url = f"http://{_reachable(settings.host)}:{ports.http}"
        serve = ServeClient(dashboard_url, url, token)
        emit(Event(kind="step", text="Ray Serve"))
        serve.deploy(read_config(SERVE_CONFIG, settings.host, ports.http))
        emit(Event(kind="step", text="Models and API"))
        serve.wait_healthy(ray.check, lambda text: emit(Event(kind="detail", text=text)))
        serve.wait_ready(ray.check)
        serve.close()
        write_state(
            home,
            StackState(
                home=home.root,
                url=url,
                docs_url=f"{url}/docs",
                dashboard_url=dashboard_url,
                database_url=database_url,
                api_key=api_key,
                ray_address=f"{LOOPBACK}:{ports.gcs}",
                ray_token_file=home.ray_token_file,
                pid=os.getpid(),
                started=psutil.Process().create_time(),
            ),
        )
        emit(Event(kind="ready"))
        logger.info("Ready at %s.", url)
        return ray

    def _watch(self, ray: RayHead) -> NoReturn:
        pause = threading.Event()
        while True:
            ray.check()
            pause.wait(_WATCH_SECONDS)

    def _repair(self) -> None:
        """End what a supervisor that was killed has left; its PostgreSQL is taken over as it runs."""
        remove_state(self._home)
        if ended := sweep(self._home.stack_id):
            logger.warning("Ended %d processes that an earlier run had left.", ended)

    def _stop(self) -> None:
        remove_state(self._home)
        sweep(self._home.stack_id)
        if self._settings.database_url is None:
            EmbeddedPostgres(self._home.postgres).stop()
        self._home.unlink_ray()
        logger.info("Stopped.")

    def _watch_lease(self) -> None:
        if os.read(self._lease, 1) != DETACH:
            os.kill(os.getpid(), signal.SIGTERM)

    def _report(self, failure: str) -> None:
        # The front ends this process as soon as it reads that; it ends anyway.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        emit(Event(kind="failed", text=failure, log=self._log_of_failure()))

    def _log_of_failure(self) -> Path:
        return self._home.ray_log if self._ray and self._ray.has_ended else self._home.supervisor_log


def _reachable(host: str) -> str:
    """The host part of a URL that reaches a server bound to `host`."""
    host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]" if ":" in host else host


def _request_stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    # One is enough: a second must not interrupt the clearing up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StopRequested


def main() -> int:
    lease = int(sys.argv[1])
    os.set_inheritable(lease, False)
    # PostgreSQL must not carry the mark: it is stopped in its own way, never killed with the rest.
    os.environ.pop(STACK_MARK, None)
    settings = get_settings()
    configure_logging(settings)
    return Supervisor(settings, lease).run()


if __name__ == "__main__":
    raise SystemExit(main())
