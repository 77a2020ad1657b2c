"""`semblance gateway` as on the head of a cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from ops.commands.service.gateway import address
from ops.stack.ports import free_ports
from semblance.errors import ConfigurationError
from tests.support.gateway import LOOPBACK, backend
from tests.support.waiting import PATIENCE_S, wait_for

SEMBLANCE = Path(sys.executable).with_name("semblance")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:8000", ("127.0.0.1", 8000)), ("[::1]:8000", ("::1", 8000)), ("head:1", ("head", 1))],
)
def test_an_address_has_a_host_and_a_port(text: str, expected: tuple[str, int]) -> None:
    assert address(text) == expected


@pytest.mark.parametrize("text", ["8000", "head", "head:", ":8000", "http://head"])
def test_an_invalid_address_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        address(text)


def test_it_runs_before_serve_restarts_what_dies_and_ends_on_request(tmp_path: Path) -> None:
    port = free_ports({"gateway": (LOOPBACK, 0)})["gateway"]
    environment = {**os.environ, "SEMBLANCE_HOME": str(tmp_path), "SEMBLANCE_PORT": str(port)}

    def answers(status: int) -> bool:
        try:
            return httpx.get(f"http://{LOOPBACK}:{port}/", trust_env=False).status_code == status
        except httpx.TransportError:
            return False

    said, folder, aside = tmp_path / "said", tmp_path / "gateway", tmp_path / "aside"
    with backend() as serve, said.open("wb") as output:
        place = f"{LOOPBACK}:{serve.port}"
        with subprocess.Popen(
            [SEMBLANCE, "gateway", "--serve", place, "--dashboard", place],
            env=environment,
            stdout=output,
        ) as process:
            wait_for(lambda: "Listening" in said.read_text() and answers(200))
            (child,) = psutil.Process(process.pid).children()
            child.kill()
            wait_for(lambda: answers(200))
            # Something blocks its next start for a while.
            folder.rename(aside)
            folder.touch()
            (child,) = psutil.Process(process.pid).children()
            child.kill()
            wait_for(lambda: said.read_text().count("trying again") > 1)
            assert not answers(200)
            folder.unlink()
            wait_for(lambda: answers(200))
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        assert not answers(200)
