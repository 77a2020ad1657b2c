"""Servers behind the gateway that come and go."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from ops.stack.gateway_targets import Serve
from tests.support.gateway import (
    NOWHERE,
    Backend,
    applications,
    backend,
    gateway,
    is_contract,
    mortal_backend,
    server_of,
)
from tests.support.waiting import wait_for


def test_requests_go_to_the_replicas_or_without_any_to_the_proxy(tmp_path: Path, rest: Backend) -> None:
    serve = Serve(rest.address, None)
    with gateway(tmp_path, rest.address, rest=serve) as front, backend() as one, backend() as two:
        wait_for(lambda: server_of(front) == rest.port)
        rest.applications = applications(one)
        wait_for(lambda: server_of(front) == one.port)
        rest.applications = applications(two)
        front.sync()
        wait_for(lambda: server_of(front) == two.port)
        # Serve's REST API fails: who is known stays.
        rest.applications = None
        front.sync()
        assert {server_of(front) for _ in range(5)} == {two.port}
        rest.applications = applications()
        front.sync()
        wait_for(lambda: server_of(front) == rest.port)


def test_a_replica_that_leaves_or_dies_causes_no_error(tmp_path: Path, rest: Backend) -> None:
    serve = Serve(rest.address, None)
    with gateway(tmp_path, NOWHERE, rest=serve) as front, backend() as one:
        with backend() as two:
            rest.applications = applications(one, two)
            wait_for(lambda: {server_of(front) for _ in range(8)} == {one.port, two.port})
            two.healthy = False
            wait_for(lambda: {server_of(front) for _ in range(8)} == {one.port})
            two.healthy = True
            wait_for(lambda: {server_of(front) for _ in range(8)} == {one.port, two.port})
        # Its death has not been noticed yet.
        answers = [httpx.post(f"{front.url}/", content=b"x") for _ in range(8)]
        assert [answer.json()["server"] for answer in answers] == [one.port] * 8


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
@pytest.mark.parametrize("kept", [False, True], ids=["first", "later"])
def test_who_waits_for_a_replica_that_dies_is_asked_to_retry(tmp_path: Path, method: str, kept: bool) -> None:
    """Also on connections that had requests before, which HAProxy would close without a word."""
    with mortal_backend() as address, gateway(tmp_path, address) as front:
        wait_for(lambda: httpx.get(f"{front.url}/").is_success)
        with httpx.Client(base_url=front.url) as client:
            for before in ("GET", method) if kept else ():
                assert client.request(before, "/").is_success
            answer = client.request(method, "/die", content=b"" if method == "HEAD" else b"x")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert method == "HEAD" or answer.json()["code"] == "not_ready"


def test_who_reads_from_the_last_replica_when_it_dies_is_asked_to_retry(tmp_path: Path) -> None:
    with mortal_backend() as address, gateway(tmp_path, address) as front:
        wait_for(lambda: httpx.get(f"{front.url}/").is_success)
        is_contract(httpx.get(f"{front.url}/die"), 503, "not_ready")


def test_other_applications_are_reached_by_their_prefix(tmp_path: Path, rest: Backend) -> None:
    serve = Serve(rest.address, None)
    with gateway(tmp_path, rest.address, rest=serve) as front, backend() as one:
        rest.applications = applications(one, prefixes=("/second",))
        wait_for(lambda: server_of(front) == one.port)
        wait_for(lambda: httpx.get(f"{front.url}/second/x").json()["server"] == rest.port)
        for path, port in (
            ("/second", rest.port),
            ("/second/", rest.port),
            ("/second?x=1", rest.port),
            ("/secondary", one.port),
            ("/second-x/y", one.port),
            ("/sec", one.port),
            ("/x/second/y", one.port),
        ):
            assert httpx.get(f"{front.url}{path}").json()["server"] == port, path
        rest.applications = applications(one)
        front.sync()
        assert httpx.get(f"{front.url}/second/x").json()["server"] == one.port
