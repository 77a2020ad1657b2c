"""The gateway of a whole stack: before Ray runs, while parts die, and which other sockets listen."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
import psutil
import pytest

from ops.stack.home import StackHome
from ops.stack.ports import free_ports
from ops.stack.processes import members
from semblance.settings import Settings
from tests.support.gateway import LOOPBACK, until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SEMBLANCE = Path(sys.executable).with_name("semblance")
CHECK_S = 60
GATEWAY_S = 10.0
"""Longest time without any answer, whichever part dies."""
READ = "/api/matches/top"


@dataclass
class GatewayStack:
    home: StackHome
    url: str
    environment: dict[str, str]

    def run(self, *arguments: str) -> None:
        done = subprocess.run(
            [SEMBLANCE, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def processes(self, part: str) -> list[psutil.Process]:
        """The processes whose command line contains this text."""
        found = []
        for process in members(self.home.stack_id):
            with suppress(psutil.Error):
                if part in " ".join(process.cmdline()):
                    found.append(process)
        return found


@dataclass
class PersistentClient:
    """The answers to a client that asks continuously, by status, and the time without any answer.

    strange: answers that are neither 200 nor the contract's 503.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    unanswered: list[float] = field(default_factory=list)
    """Start of each attempt without an answer, in seconds of the monotonic clock."""

    def ask(self, client: httpx.Client) -> None:
        began = time.monotonic()
        try:
            answer = client.get(READ)
        except httpx.TransportError:
            self.unanswered.append(began)
            return
        self.statuses[answer.status_code] += 1
        refused = answer.status_code == 503 and "retry-after" in answer.headers
        if answer.status_code != 200 and not (
            refused and answer.json().keys() >= {"error", "code", "request_id"}
        ):
            self.strange.append(f"{answer.status_code} {answer.headers} {answer.text}")


@contextmanager
def asking(url: str) -> Iterator[PersistentClient]:
    seen, end = PersistentClient(), threading.Event()

    def work() -> None:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            while not end.wait(0.05):
                seen.ask(client)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield seen
    finally:
        end.set()
        thread.join()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayStack, PersistentClient]]:
    """A running stack, and the answers to a client while it started."""
    home = StackHome.of(Settings(home=tmp_path_factory.mktemp("gateway")))
    port = free_ports({"gateway": (LOOPBACK, 0)})["gateway"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEMBLANCE_", "RAY_"))}
    kept |= {"SEMBLANCE_HOME": str(home.root), "SEMBLANCE_PORT": str(port)}
    running = GatewayStack(home, f"http://{LOOPBACK}:{port}", kept)
    try:
        with asking(running.url) as seen:
            running.run("up", "--detach")
        yield running, seen
    finally:
        running.run("down")


def is_answered(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}{READ}", trust_env=False).is_success
    return False


def is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def test_a_starting_stack_asks_to_retry_from_its_first_answer(
    stack: tuple[GatewayStack, PersistentClient],
) -> None:
    _, seen = stack
    assert seen.statuses.keys() == {200, 503}
    assert not seen.strange


def test_nothing_beyond_the_configured_host_answers_without_credentials(
    stack: tuple[GatewayStack, PersistentClient],
) -> None:
    running, _ = stack
    beyond = {
        (process.name(), connection.laddr.port)
        for process in members(running.home.stack_id)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and not is_loopback(connection.laddr.ip)
    }
    # PostgreSQL listens on a Unix socket only, and is not a member.
    for name, port in beyond:
        with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
            call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=5)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED, (name, port)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{LOOPBACK}:{port}/", trust_env=False, timeout=5)


@pytest.mark.parametrize("part", ["haproxy", "ServeReplica:semblance:API", "ProxyActor", "ServeController"])
def test_whichever_part_dies_clients_are_answered_or_asked_to_retry(
    stack: tuple[GatewayStack, PersistentClient], part: str
) -> None:
    running, _ = stack
    until(lambda: is_answered(running.url), CHECK_S)
    (victim,) = running.processes(part)
    with asking(running.url) as seen:
        until(lambda: seen.statuses[200] > 3, CHECK_S)
        victim.kill()
        until(lambda: bool(running.processes(part)) and victim not in running.processes(part), CHECK_S)
        before = seen.statuses[200]
        until(lambda: seen.statuses[200] > before + 20, CHECK_S)
    assert not seen.strange
    if part == "haproxy":
        assert seen.unanswered[-1] - seen.unanswered[0] < GATEWAY_S
    else:
        # An answer that has begun cannot be repeated elsewhere, so the one in flight at the kill may be cut.
        assert len(seen.unanswered) <= ("ServeReplica" in part)
