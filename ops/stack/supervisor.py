"""The process behind a stack: starts everything, keeps it up, and takes everything down again.

`python -m ops.stack.supervisor [--take-over] [LEASE_FD]` is called by `front` and `guardian` only.
End-of-file on the lease means that the front has ended; the byte `events.DETACH` before it means that the
stack is to outlive the front. Without a lease it does so from the beginning. With `--take-over` the stack was
ready under a supervisor that died: what still runs keeps running, and is repaired where necessary.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from db.migrate import check_server, may_migrate, require_newest, upgrade
from db.text_indexes import ensure_index
from deployments.replica_messages import message_environment
from deployments.texts.manifest import text_model
from ops.stack.events import DETACH, StackEvent, emit
from ops.stack.gateway import Gateway, most_connections
from ops.stack.gateway_config import SLOTS, GatewayConfig
from ops.stack.gateway_targets import Serve
from ops.stack.guard import GuardianPart
from ops.stack.home import StackHome, StackLock
from ops.stack.keeper import ASK_SECONDS, Keeper
from ops.stack.parts import Part
from ops.stack.ports import reachable_url
from ops.stack.postgres import ForeignPostgres, PostgresPart
from ops.stack.preflight import preflight
from ops.stack.processes import STACK_MARK, sweep
from ops.stack.ray_head import LOOPBACK, RayHead, RayPorts, head_environment
from ops.stack.serve_deploy import (
    SERVE_CONFIG,
    ServeApp,
    ServeClient,
    ServiceChecks,
    find_controller,
    read_config,
    with_tracing,
)
from ops.stack.state import StackState, is_written, left_state, remove_state, write_state
from semblance.error_reports import report_errors
from semblance.errors import SemblanceError
from semblance.logging import configure_logging
from semblance.settings import Settings, get_settings, old_names

logger = logging.getLogger(__name__)

_BEAT_SECONDS = 1.0
_ASK_SELDOM = 5.0
"""Seconds between two checks that cost more than others: those of Ray and Serve take 10 ms of CPU each."""

_ASK_CHECKS = 10.0
"""Seconds between two questions for what `/ready` checks, for which the API asks all deployments."""


class StopRequested(BaseException):
    """Raised in the main thread by the first SIGTERM."""


class Supervisor:
    """One stack from start to end."""

    def __init__(self, settings: Settings, lease: int | None, *, take_over: bool) -> None:
        """`lease` is None if the stack outlives the process that started it."""
        self._settings = settings
        self._home = StackHome.of(settings)
        self._lease = lease
        self._takes_over = take_over
        self._was_ready = False
        self._detached = threading.Event()
        self._lock = StackLock(self._home)
        self._changes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._postgres = PostgresPart(self._home) if settings.database_url is None else None
        self._ray: RayHead | None = None
        self._parts: list[Part] = [self._postgres or ForeignPostgres(_application_dsn(settings))]
        self._guardian = GuardianPart(self._home)
        self._keepers: list[Keeper] = []
        self._is_published = True

    def run(self) -> int:
        """Run the stack until it is stopped. Returns the exit status."""
        if not self._lock.acquire():
            emit(StackEvent(kind="busy"))
            return 0
        if self._takes_over and not self._home.state_file.exists():
            # The stack was stopped meanwhile.
            self._lock.release()
            return 0
        signal.signal(signal.SIGTERM, _request_stop)
        if self._lease is None:
            self._detached.set()
        else:
            threading.Thread(target=self._watch_lease, args=[self._lease], daemon=True).start()
        status = 1
        try:
            left = left_state(self._home) if self._takes_over else None
            if left is None:
                self._repair()
                state = self._start()
            else:
                self._was_ready = True
                state = self._take_over(left)
            self._was_ready = True
            self._keep(state)
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
            # A stack that was ready is never given up: the next supervisor tries to take it over.
            if status == 0 or not self._was_ready:
                self._stop()
            self._lock.release()
        return status

    def _start(self) -> StackState:
        """Start everything for the first time. Raises SemblanceError if that fails."""
        settings = self._settings
        emit(StackEvent(kind="step", text="Settings"))
        preflight(settings)
        ports = RayPorts.choose(settings.host, settings.port, settings.dashboard_port)
        # First, so that from now on clients are told when to try again.
        gateway = self._gateway(ports)
        self._parts.insert(0, gateway)
        gateway.start()
        if self._postgres is not None:
            emit(StackEvent(kind="step", text="PostgreSQL"))
            self._postgres.start()
            database_url, owner_url = self._postgres.url, self._postgres.owner_url
        else:
            database_url = _application_dsn(settings)
            owner = settings.owner_database_url
            owner_url = owner.get_secret_value() if owner else database_url
        state = self._state(ports, database_url)
        ray = self._ray = RayHead(self._home, ports, self._environment(state, ports))
        serve = self._serve(ray, state, ports)
        self._parts += [ray, serve]
        # Ray takes seconds to start; other problems are found in that time.
        ray.launch()
        emit(StackEvent(kind="step", text="Database schema"))
        prepare_schema(owner_url, settings)
        emit(StackEvent(kind="step", text="Ray"))
        ray.start()
        emit(StackEvent(kind="step", text="Models and API"))
        serve.start()
        serve.wait_ready()
        write_state(self._home, state)
        emit(StackEvent(kind="ready"))
        logger.info("Ready at %s.", state.url)
        return state

    def _take_over(self, left: StackState) -> StackState:
        """Continue with what another supervisor started, at the same addresses."""
        ports = RayPorts(**left.ports)
        if left.detached:
            self._detached.set()
        state = self._state(ports, left.database_url, left)
        ray = self._ray = RayHead(self._home, ports, self._environment(state, ports))
        gateway = self._gateway(ports)
        self._parts = [gateway, *self._parts, ray, self._serve(ray, state, ports)]
        logger.warning("Taking over the stack at %s: its supervisor (pid %d) has died.", state.url, left.pid)
        # It usually runs, and only its replicas must be followed again; if not, its keeper starts it.
        with suppress(SemblanceError):
            gateway.start()
        return state

    def _keep(self, state: StackState) -> NoReturn:
        """Keep every part up, and publish problems."""
        for part in self._parts:
            needs = self._keepers[-1] if isinstance(part, ServeApp) else None
            ask = _ASK_SELDOM if isinstance(part, RayHead | ServeApp | ForeignPostgres) else ASK_SECONDS
            only_watches = isinstance(part, ForeignPostgres)
            self._keep_up(part, ask=ask, needs=needs, only_watches=only_watches)
        self._keep_up(ServiceChecks(state.url), ask=_ASK_CHECKS, only_watches=True)
        for keeper in self._keepers:
            keeper.start()
        guarded = False
        self._publish(state)
        while True:
            with suppress(queue.Empty):
                self._changes.get(timeout=_BEAT_SECONDS)
            # A disk that takes no writes must not end the stack.
            with suppress(OSError):
                self._lock.beat()
            problems = tuple(keeper.problem for keeper in self._keepers if keeper.problem is not None)
            if self._detached.is_set() and not guarded:
                guarded = True
                self._guard()
            now = state.model_copy(update={"problems": problems, "detached": guarded})
            # Somebody, or a bad disk, may have damaged the file.
            if not is_written(self._home, now):
                self._publish(now)
            self._tell(state, now)
            state = now

    def _guard(self) -> None:
        """Start the guardian, since the process that started this stack is gone."""
        self._parts.append(self._guardian)
        if self._guardian.problem() is not None:
            with suppress(SemblanceError, OSError):
                self._guardian.start()
        self._keep_up(self._guardian)
        self._keepers[-1].start()

    def _keep_up(
        self,
        part: Part,
        *,
        ask: float = ASK_SECONDS,
        needs: Keeper | None = None,
        only_watches: bool = False,
    ) -> None:
        """Add the keeper of a part."""
        self._keepers.append(
            Keeper(part, lambda: self._changes.put(None), needs=needs, ask=ask, only_watches=only_watches)
        )

    def _publish(self, state: StackState) -> None:
        try:
            write_state(self._home, state)
        except OSError as exc:
            # A full disk must not end the stack. It is tried again at each beat, and told once.
            level = logging.ERROR if self._is_published else logging.DEBUG
            logger.log(level, "Cannot write %s: %s", self._home.state_file, exc)
            self._is_published = False
        else:
            self._is_published = True

    def _tell(self, before: StackState, now: StackState) -> None:
        for problem in now.problems:
            if problem not in before.problems:
                logger.warning("%s: %s", problem.part, problem.text)
                emit(StackEvent(kind="problem", text=str(problem)))
        if before.problems and not now.problems:
            logger.info("All parts answer again.")
            emit(StackEvent(kind="healed"))

    def _state(self, ports: RayPorts, database_url: str, left: StackState | None = None) -> StackState:
        """left: that of the supervisor whose stack this one continues."""
        home, settings = self._home, self._settings
        if settings.api_key:
            api_key = settings.api_key.get_secret_value()
        else:
            # The file may have changed since, but not the API.
            api_key = left.api_key if left else home.api_key()
        url = reachable_url(settings.host, ports.http)
        return StackState(
            home=home.root,
            url=url,
            docs_url=f"{url}/docs",
            dashboard_url=f"http://{LOOPBACK}:{ports.dashboard}",
            database_url=database_url,
            api_key=api_key,
            api_key_file=None if settings.api_key else home.api_key_file,
            ray_address=f"{LOOPBACK}:{ports.gcs}",
            ray_token_file=home.ray_token_file,
            pid=os.getpid(),
            ports=ports.by_name(),
            old_names=old_names(),
        )

    def _environment(self, state: StackState, ports: RayPorts) -> Mapping[str, str]:
        """The variables that everything on Ray inherits."""
        settings, home = self._settings, self._home
        jwt_secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else home.jwt_secret()
        cron_secret = settings.cron_secret.get_secret_value() if settings.cron_secret else home.cron_secret()
        return head_environment(
            os.environ,
            home,
            {
                "SEMBLANCE_HOME": str(home.root),
                "SEMBLANCE_DATABASE_URL": state.database_url,
                "SEMBLANCE_API_KEY": state.api_key,
                "SEMBLANCE_JWT_SECRET": jwt_secret,
                "SEMBLANCE_CRON_SECRET": cron_secret,
                **message_environment(settings),
                "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replicas),
                "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replicas + SLOTS - 1),
            },
        )

    def _gateway(self, ports: RayPorts) -> Gateway:
        settings, home = self._settings, self._home
        return Gateway(
            GatewayConfig.of(
                settings, settings.host, ports.http, (LOOPBACK, ports.serve), most_connections()
            ),
            home.gateway,
            home.gateway_log,
            Serve((LOOPBACK, ports.dashboard), home.ray_token()),
            f"{home.stack_id}/gateway",
        )

    def _serve(self, ray: RayHead, state: StackState, ports: RayPorts) -> ServeApp:
        return ServeApp(
            ServeClient(state.dashboard_url, state.url, self._home.ray_token()),
            with_tracing(read_config(SERVE_CONFIG, LOOPBACK, ports.serve), self._settings),
            ray.check,
            lambda: find_controller(self._home),
            lambda text: emit(StackEvent(kind="detail", text=text)),
        )

    def _repair(self) -> None:
        """End what a killed supervisor left behind. Its PostgreSQL is taken over as it runs."""
        remove_state(self._home)
        if ended := sweep(self._home.stack_id):
            logger.warning("Ended %d processes left over from an earlier run.", ended)

    def _stop(self) -> None:
        for keeper in self._keepers:
            keeper.close()
        remove_state(self._home)
        self._stop_parts()
        for keeper in self._keepers:
            keeper.join()
        # Once more, for parts that were being started meanwhile.
        self._stop_parts()
        sweep(self._home.stack_id)
        self._home.unlink_ray()
        logger.info("Stopped.")

    def _stop_parts(self) -> None:
        for part in reversed(self._parts):
            try:
                part.stop()
            except Exception:
                logger.exception("%s does not stop.", part.name)

    def _watch_lease(self, lease: int) -> None:
        if os.read(lease, 1) == DETACH:
            self._detached.set()
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    def _report(self, failure: str) -> None:
        # The front ends this process when it reads the report; the process ends anyway.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        emit(StackEvent(kind="failed", text=failure, log=self._log_of_failure()))

    def _log_of_failure(self) -> Path:
        return self._home.ray_log if self._ray and self._ray.has_ended else self._home.supervisor_log


def prepare_schema(dsn: str, settings: Settings) -> None:
    """Migrate, or by the application's login check that the owner has.

    Raises ConfigurationError, DatabaseError.
    """
    check_server(dsn)
    if may_migrate(dsn):
        upgrade(dsn)
        ensure_index(dsn, text_model(settings))
    else:
        require_newest(dsn)


def _application_dsn(settings: Settings) -> str:
    """The DSN of the settings, for callers that know it is set."""
    assert settings.database_url is not None  # noqa: S101 - there is an embedded server otherwise
    return settings.database_url.get_secret_value()


def _request_stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    # A second signal must not interrupt the cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StopRequested


def main() -> int:
    arguments = sys.argv[1:]
    take_over = "--take-over" in arguments
    leases = [int(argument) for argument in arguments if argument.isdigit()]
    for lease in leases:
        os.set_inheritable(lease, False)
    # PostgreSQL must not carry the mark: it is stopped separately, never killed with the rest.
    os.environ.pop(STACK_MARK, None)
    settings = get_settings()
    configure_logging(settings)
    report_errors(settings)
    return Supervisor(settings, leases[0] if leases else None, take_over=take_over).run()


if __name__ == "__main__":
    raise SystemExit(main())
