"""Free TCP ports of this machine, and the addresses that reach them."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

from semblance.errors import ConfigurationError

# Below the range that the kernel uses for outgoing connections (32768 and up on Linux, 49152 elsewhere), so
# that no connection takes a port between our choice and its use.
_LOWEST, _HIGHEST = 20000, 29999
_ATTEMPTS = 1000


def free_ports(wanted: dict[str, tuple[str, int]]) -> dict[str, int]:
    """Choose a port for each name. The value is the address to bind and the wanted port, 0 for any free one.

    All are held open until the last one is chosen, so that no two are equal. Raises ConfigurationError if a
    wanted port is taken.
    """
    with ExitStack() as held:
        chosen: dict[str, int] = {}
        for name, (host, port) in wanted.items():
            for candidate in [port] if port else random.sample(range(_LOWEST, _HIGHEST + 1), _ATTEMPTS):
                listener = _bind(host, candidate)
                if listener is not None:
                    held.enter_context(listener)
                    chosen[name] = candidate
                    break
            else:
                raise ConfigurationError(
                    f"Port {port} for the {name} is taken. Stop the program that uses it, or choose another "
                    "port (0 picks a free one)."
                    if port
                    else f"No free port between {_LOWEST} and {_HIGHEST} for the {name}."
                )
        return chosen


def free_block(host: str, size: int) -> range:
    """`size` consecutive ports that are free now. Raises ConfigurationError if none are found."""
    for _ in range(_ATTEMPTS):
        first = random.randint(_LOWEST, _HIGHEST + 1 - size)
        block = range(first, first + size)
        if all(is_free(host, port) for port in block):
            return block
    raise ConfigurationError(f"No {size} consecutive free ports between {_LOWEST} and {_HIGHEST}.")


def is_free(host: str, port: int) -> bool:
    """Whether a server could bind this port now."""
    listener = _bind(host, port)
    if listener is None:
        return False
    listener.close()
    return True


def _bind(host: str, port: int) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    # Servers do the same: a port in TIME_WAIT after a restart is free.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1)
    except OSError:
        listener.close()
        return None
    return listener


def reachable(host: str) -> str:
    """The address by which this machine reaches a server that is bound to `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def reachable_url(host: str, port: int) -> str:
    """The URL by which this machine reaches an HTTP server that is bound to `host`."""
    name = reachable(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
