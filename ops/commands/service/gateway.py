"""`semblance gateway`."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from rich.markup import escape

from ops.commands.output import console
from ops.stack.gateway import Gateway, most_connections
from ops.stack.gateway_config import Address, GatewayConfig
from ops.stack.gateway_targets import Serve
from ops.stack.home import StackHome
from semblance.errors import ConfigurationError
from semblance.settings import Settings

_DEFAULT_PORT = 8080
_WATCH_SECONDS = 1.0


def run_gateway(settings: Settings, serve: str, dashboard: str, token_file: Path | None) -> None:
    """Run the gateway in front of a Ray cluster until SIGINT or SIGTERM, and restart it when it dies."""
    home = StackHome.of(settings)
    home.prepare()
    token = None if token_file is None else token_file.read_text().strip()
    config = GatewayConfig.of(
        settings, settings.host, settings.port or _DEFAULT_PORT, address(serve), most_connections()
    )
    gateway = Gateway(config, home.gateway, home.gateway_log, Serve(address(dashboard), token))
    ended = threading.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: ended.set())
    try:
        gateway.start()
        console.print(f"Listening at {gateway.url}; Ctrl-C ends this.")
        while not ended.wait(_WATCH_SECONDS):
            if problem := gateway.problem():
                console.print(escape(problem))
                try:
                    gateway.start()
                except (ConfigurationError, OSError) as exc:
                    # It ran before, so the obstacle may pass.
                    console.print(f"It cannot be started; trying again: {escape(str(exc))}")
    finally:
        gateway.stop()


def address(text: str) -> Address:
    """Parse host:port, or [host]:port for IPv6. Raises ConfigurationError for anything else."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit():
        raise ConfigurationError(f"{text!r} is not an address: write it as host:port.")
    return host, int(port)
