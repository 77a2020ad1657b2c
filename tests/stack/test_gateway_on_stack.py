"""The gateway of a whole stack: before Ray runs, while parts die, and which other sockets listen."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

import grpc
import httpx
import psutil
import pytest

from ops.stack.home import StackHome
from ops.stack.processes import members
from semblance.settings import Settings
from tests.support.asking import READ, asking
from tests.support.gateway import LOOPBACK
from tests.support.service import Service
from tests.support.waiting import PATIENCE_S, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

GATEWAY_S = 60.0
"""Longest time without any answer, whichever part dies: seconds, on a machine that does nothing else."""


def processes(service: Service, part: str = "") -> list[psutil.Process]:
    """The processes of the stack whose command line contains this text."""
    found = []
    for process in members(StackHome.of(Settings(home=service.home)).stack_id):
        with suppress(psutil.Error):
            if part in " ".join(process.cmdline()):
                found.append(process)
    return found


def is_answered(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}{READ}", trust_env=False).is_success
    return False


def is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def test_a_starting_stack_asks_to_retry_from_its_first_answer(service: Service) -> None:
    seen = service.asked
    assert seen.statuses.keys() == {200, 503}
    assert not seen.strange


def listening_beyond(service: Service) -> dict[int, str]:
    """Ports of the stack that are open beyond the loopback, and the name of what listens there. PostgreSQL,
    which is no member, listens on a Unix socket only."""
    beyond = {}
    for process in processes(service):
        # Some come and go all the time.
        with suppress(psutil.NoSuchProcess):
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN and not is_loopback(connection.laddr.ip):
                    beyond[connection.laddr.port] = process.name()
    return beyond


def test_nothing_beyond_the_configured_host_answers_without_credentials(service: Service) -> None:
    for port, name in listening_beyond(service).items():
        with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
            call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=PATIENCE_S)
            # A replica of an earlier test may have ended meanwhile.
            has_ended = refused.value.code() is grpc.StatusCode.UNAVAILABLE and port not in listening_beyond(
                service
            )
            assert has_ended or refused.value.code() is grpc.StatusCode.UNAUTHENTICATED, (name, port)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{LOOPBACK}:{port}/", trust_env=False, timeout=5)


@pytest.mark.parametrize("part", ["haproxy", "ServeReplica:semblance:API", "ProxyActor", "ServeController"])
def test_whichever_part_dies_clients_are_answered_or_asked_to_retry(service: Service, part: str) -> None:
    wait_for(lambda: is_answered(service.url))
    (victim,) = processes(service, part)
    with asking(service.url) as seen:
        wait_for(lambda: seen.statuses[200] > 3)
        victim.kill()
        wait_for(lambda: (now := processes(service, part)) != [] and victim not in now)
        before = seen.statuses[200]
        wait_for(lambda: seen.statuses[200] > before + 20)
    assert not seen.strange
    if part == "haproxy":
        assert seen.silence() < GATEWAY_S
    else:
        # An answer that has begun cannot be repeated elsewhere, so the one in flight at the kill may be cut.
        assert len(seen.unanswered) <= ("ServeReplica" in part)
