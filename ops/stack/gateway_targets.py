"""Whom the gateway sends requests to: asked of Ray Serve, told to HAProxy over its admin socket."""

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
"""Bits of a server's administrative state by which it is out of use (HAProxy's management guide, section 9.3)
"""

_PREFIX = re.compile(r"/[A-Za-z0-9._~/-]+")
"""What is a word of HAProxy's commands."""

_ANSWER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Targets:
    """replicas: of the application at the root. prefixes: paths of the other ones."""

    replicas: frozenset[Address]
    prefixes: frozenset[str]

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Targets | None:
        """What Serve's REST API says; None while it names no application at the root.

        Where it lists proxies in place of replicas, which have no port of their own yet, there are none.
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
    """Serve's REST API, of the dashboard at this address, asked with Ray's token where there is one."""

    def __init__(self, dashboard: Address, token: str | None) -> None:
        self._dashboard = dashboard
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def targets(self) -> Targets | None:
        """None while it does not answer."""
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
    """One of the places for a replica. address: None while it is out of use. up: as its checks have it."""

    name: str
    address: Address | None
    up: bool


class AdminSocket:
    """HAProxy's runtime API."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, *commands: str) -> str:
        """What HAProxy answers to these commands; raises OSError where it does not."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            # The path of a socket ends at 107 bytes; that of a folder does not.
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                connection.connect(f"/proc/self/fd/{folder}/{SOCKET}")
            finally:
                os.close(folder)
            connection.sendall((";".join(commands) + "\n").encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def slots(self) -> list[Slot]:
        return parse_slots(self.send("show servers state api"))

    def prefixes(self) -> set[str]:
        """Route prefixes in use, each with a slash at its end."""
        lines = self.send(f"show map {PREFIXES}").splitlines()
        return {line.split()[1] for line in lines if len(line.split()) > 1}


def parse_slots(state: str) -> list[Slot]:
    """What `show servers state` says of the replicas' places."""
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
    """Commands that make the places in use those of `replicas`; who is there already is left in peace."""
    used = {slot.address for slot in slots if slot.address is not None}
    free = [slot.name for slot in slots if slot.address is None]
    commands = [
        f"set server api/{slot.name} state maint"
        for slot in slots
        if slot.address is not None and slot.address not in replicas
    ]
    # A place just left may still end its requests, so the ones that are free come first.
    for name, (host, port) in zip(free, sorted(set(replicas) - used), strict=False):
        commands += [
            f"set server api/{name} addr {host} port {port}",
            f"set server api/{name} state ready",
        ]
    return commands
