"""Where the gateway sends requests: read from Ray Serve, told to HAProxy through its admin socket."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from ops.stack.gateway_config import PREFIXES, SOCKET, Address

_MAINTENANCE = 0x63
"""Bits of a server's administrative state that take it out of use (HAProxy management guide, section 9.3)."""

_PREFIX = re.compile(r"/[A-Za-z0-9._~/-]+")
"""Prefixes that are a single word in HAProxy's commands."""

_ANSWER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Targets:
    """`replicas` are those of the application at the root, `prefixes` the route prefixes of the others."""

    replicas: frozenset[Address]
    prefixes: frozenset[str]

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Targets | None:
        """Read the answer of Serve's REST API. None while no application is deployed at the root.

        Replicas without an HTTP port are not included; Serve lists its proxies in their place.
        """
        groups = [group for group in details.get("target_groups") or [] if group["protocol"] == "HTTP"]
        proxies = {proxy.get("actor_name") for proxy in (details.get("proxies") or {}).values()}
        root = next((group for group in groups if group["route_prefix"] == "/" and group["app_name"]), None)
        if root is None:
            return None
        return cls(
            frozenset(
                (target["ip"], target["port"])
                for target in root["targets"]
                if target.get("name") not in proxies
            ),
            frozenset(group["route_prefix"] for group in groups if _PREFIX.fullmatch(group["route_prefix"])),
        )


class Serve:
    """Serve's REST API, which Ray's dashboard answers."""

    def __init__(self, dashboard: Address, token: str | None) -> None:
        self._dashboard = dashboard
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def targets(self) -> Targets | None:
        """The current targets, None while Serve does not answer."""
        connection = HTTPConnection(*self._dashboard, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", "/api/serve/applications/", headers=self._headers)
            response = connection.getresponse()
            return Targets.of(json.load(response)) if response.status == HTTPStatus.OK else None
        except (OSError, HTTPException, ValueError):
            return None
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a replica. `address` is None while it is out of use; `up` is the result of its health
    checks."""

    name: str
    address: Address | None
    up: bool


class AdminSocket:
    """HAProxy's runtime API."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, *commands: str) -> str:
        """Run commands and return HAProxy's answer. Raises OSError if it does not answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            # The path of a socket is limited to 107 bytes, that of a folder is not.
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                connection.connect(f"/proc/self/fd/{folder}/{SOCKET}")
            finally:
                os.close(folder)
            connection.sendall((";".join(commands) + "\n").encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def renew_certificate(self, file: str, pem: str) -> str | None:
        """Replace the certificate that was read from `file`; open connections keep theirs. Returns why that
        failed. Raises OSError if HAProxy does not answer."""
        name = re.sub(r"([\s;\\])", r"\\\1", file)
        # An empty line ends the command.
        lines = "\n".join(filter(None, map(str.strip, pem.splitlines())))
        said = self.send(f"set ssl cert {name} <<\n{lines}\n")
        done = self.send(f"commit ssl cert {name}")
        if "Success" in done:
            return None
        self.send(f"abort ssl cert {name}")
        return " ".join(f"{said} {done}".split())

    def slots(self) -> list[Slot]:
        """All places for replicas of the API."""
        return parse_slots(self.send("show servers state api"))

    def prefixes(self) -> set[str]:
        """Route prefixes in use, each with a trailing slash."""
        lines = self.send(f"show map {PREFIXES}").splitlines()
        return {line.split()[1] for line in lines if len(line.split()) > 1}


def parse_slots(state: str) -> list[Slot]:
    """Read the places for replicas from the output of `show servers state`."""
    slots = []
    for line in state.splitlines():
        fields = line.split()
        if len(fields) < 19 or not fields[3].startswith("replica"):
            continue
        in_use = not int(fields[6]) & _MAINTENANCE
        slots.append(
            Slot(fields[3], (fields[4], int(fields[18])) if in_use else None, in_use and fields[5] == "2")
        )
    return slots


def changes(slots: Collection[Slot], replicas: Collection[Address]) -> list[str]:
    """The commands that put `replicas` into the places. Replicas that have a place keep it."""
    used = {slot.address for slot in slots if slot.address is not None}
    free = [slot.name for slot in slots if slot.address is None]
    commands = [
        f"set server api/{slot.name} state maint"
        for slot in slots
        if slot.address is not None and slot.address not in replicas
    ]
    # Requests may still be ending in a place just emptied, so only places that were free are used.
    for name, (host, port) in zip(free, sorted(set(replicas) - used), strict=False):
        commands += [
            f"set server api/{name} addr {host} port {port}",
            f"set server api/{name} state ready",
        ]
    return commands
