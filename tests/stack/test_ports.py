from __future__ import annotations

import socket

import pytest

from ops.stack.ports import free_ports, is_free
from semblance.errors import ConfigurationError


def test_ports_differ_and_can_be_bound() -> None:
    ports = free_ports({str(number): ("127.0.0.1", 0) for number in range(20)})
    assert len(set(ports.values())) == 20
    assert all(is_free("127.0.0.1", port) for port in ports.values())


def test_a_taken_port_is_refused_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        with pytest.raises(ConfigurationError, match=f"Port {port} for the HTTP API is taken"):
            free_ports({"HTTP API": ("127.0.0.1", port)})


def test_one_port_is_not_given_twice() -> None:
    port = free_ports({"one": ("127.0.0.1", 0)})["one"]
    with pytest.raises(ConfigurationError, match="taken"):
        free_ports({"one": ("127.0.0.1", port), "other": ("127.0.0.1", port)})
