"""The process of the gateway: how it starts, is taken over and ends."""

from __future__ import annotations

import dataclasses
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from ops.stack.gateway import Gateway, connections_for
from ops.stack.gateway_config import GatewayConfig
from ops.stack.ports import free_ports
from ops.stack.processes import members
from semblance.errors import ConfigurationError
from tests.support.gateway import (
    LOOPBACK,
    NOWHERE,
    WIDE,
    Backend,
    gateway,
    gateway_before,
    server_of,
)
from tests.support.waiting import PATIENCE_S, wait_for


def test_two_gateways_keep_apart(tmp_path: Path, rest: Backend) -> None:
    (tmp_path / "other").mkdir()
    with gateway_before(tmp_path) as (one, behind), gateway(tmp_path / "other", rest.address) as two:
        wait_for(lambda: server_of(two) == rest.port)
        assert server_of(one) == behind.port
        two.stop()
        assert server_of(one) == behind.port


def test_a_dead_gateway_returns_at_the_same_address(tmp_path: Path) -> None:
    with gateway_before(tmp_path) as (front, _):
        url = front.url
        for blow in (signal.SIGKILL, signal.SIGSTOP):
            process = _process_of(front)
            process.send_signal(blow)
            wait_for(lambda: front.problem() is not None)
            front.start()
            assert front.problem() is None
            wait_for(lambda: httpx.get(f"{url}/").is_success)
            assert not process.is_running()


def test_it_listens_where_it_should_and_nowhere_else_and_its_files_are_closed(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    with gateway_before(deep) as (front, _):
        listening = [
            connection.laddr
            for connection in _process_of(front).net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening == [(LOOPBACK, front.config.port)]
        folder = deep / "gateway"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tests.support.gateway import gateway\n"
        f"with gateway(Path({str(tmp_path)!r}), ('127.0.0.1', 9)) as front:\n"
        "    print(front._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    process.wait(PATIENCE_S)


def test_with_a_mark_it_is_taken_over_from_a_parent_that_died(tmp_path: Path) -> None:
    port, mark = free_ports({"gateway": (LOOPBACK, 0)})["gateway"], f"{tmp_path.name}/gateway"
    config = GatewayConfig(LOOPBACK, port, NOWHERE, WIDE)
    first = Gateway(config, tmp_path / "gateway", tmp_path / "log", mark=mark)
    first.start()
    (process,) = members(mark)
    # The state that another supervisor reads.
    second = Gateway(config, tmp_path / "gateway", tmp_path / "log", mark=mark)
    assert second.problem() is not None
    second.start()
    assert second.problem() is None
    assert members(mark) == {process}
    changed = dataclasses.replace(config, hosts=("api.example",))
    third = Gateway(changed, tmp_path / "gateway", tmp_path / "log", mark=mark)
    third.start()
    assert process not in members(mark)
    assert third.problem() is None
    second.stop()
    assert members(mark) == set()
    for parent in (first, third):
        parent.stop()


def test_a_port_that_is_taken_is_named(tmp_path: Path, rest: Backend) -> None:
    config = GatewayConfig(LOOPBACK, rest.port, NOWHERE, WIDE)
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        Gateway(config, tmp_path / "gateway", tmp_path / "log").start()


def test_stopping_early_or_twice_is_not_an_error(tmp_path: Path) -> None:
    front = Gateway(GatewayConfig(LOOPBACK, 1, NOWHERE, WIDE), tmp_path / "gateway", tmp_path / "log")
    assert front.problem() is not None
    front.stop()
    front.stop()


@pytest.mark.parametrize(("files", "connections"), [(1024, 192), (1_048_576, 4096), (100, 64)])
def test_connections_fit_the_files_a_process_may_open(files: int, connections: int) -> None:
    assert connections_for(files) == connections


def _process_of(front: Gateway) -> psutil.Process:
    assert front._process is not None
    return psutil.Process(front._process.pid)
