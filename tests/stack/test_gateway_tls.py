"""HTTPS and HTTP/2 at the gateway, with certificates made for the test."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from websockets.sync.client import connect

from ops.stack.gateway import Gateway
from ops.stack.gateway_config import TlsListener
from ops.stack.ports import free_ports
from tests.support.gateway import (
    CLIENT,
    LOOPBACK,
    Backend,
    gateway_before,
    is_contract,
    limited,
    wait_for_uploads,
)
from tests.support.waiting import PATIENCE_S, wait_for


def make_certificate(file: Path) -> Path:
    """A new key and its certificate for the loopback address, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return file


def trusting(file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=file.read_text().partition("-----BEGIN PRIVATE KEY")[0])


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Backend, str]]:
    folder = tmp_path_factory.mktemp("a gateway")
    port = free_ports({"tls": (LOOPBACK, 0)})["tls"]
    tls = TlsListener(LOOPBACK, port, make_certificate(folder / "semblance.pem"))
    with gateway_before(folder, tls=tls) as (running, behind):
        yield running, behind, f"https://{LOOPBACK}:{port}"


def certificate(front: tuple[Gateway, Backend, str]) -> Path:
    tls = front[0].config.tls
    assert tls is not None
    return tls.certificate


@pytest.mark.parametrize("version", ["HTTP/2", "HTTP/1.1"])
def test_requests_come_by_both_versions_and_the_api_knows_of_tls(
    front: tuple[Gateway, Backend, str], version: str
) -> None:
    with httpx.Client(verify=trusting(certificate(front)), http2=version == "HTTP/2") as client:
        answer = client.post(
            f"{front[2]}/a?b=c", content=b"x" * 100_000, headers={"X-Forwarded-Proto": "http"}
        )
        assert (answer.status_code, answer.http_version) == (200, version)
        said = answer.json()
        assert (said["scheme"], said["path"], said["bytes"]) == ("https", "/a", 100_000)
        refused = client.get(f"{front[2]}/", headers={"X-Long": "x" * 17_000})
        assert (refused.status_code, refused.json()["code"]) == (431, "headers_too_large")


def test_a_body_that_no_header_announces_is_an_upload(tmp_path: Path) -> None:
    """HTTP/2 needs neither a length nor an encoding in chunks."""
    port = free_ports({"tls": (LOOPBACK, 0)})["tls"]
    tls = TlsListener(LOOPBACK, port, make_certificate(tmp_path / "semblance.pem"))
    may_end = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b"x" * 1000
        assert may_end.wait(PATIENCE_S)

    def client() -> httpx.Client:
        return httpx.Client(
            base_url=f"https://{LOOPBACK}:{port}",
            headers={"X-Forwarded-For": CLIENT},
            verify=trusting(tls.certificate),
            http2=True,
            timeout=PATIENCE_S,
        )

    options: dict[str, Any] = {"tls": tls, "limits": limited(uploads=1), "trusted_proxies": (LOOPBACK,)}
    with (
        gateway_before(tmp_path, **options) as (front, _),
        client() as one,
        client() as other,
        ThreadPoolExecutor(1) as pool,
        ExitStack() as stack,
    ):
        stack.callback(may_end.set)
        first = pool.submit(one.post, "/", content=slowly())
        # Another that the gateway saw before it would be the one.
        wait_for_uploads(front, 1)
        is_contract(other.post("/", content=iter([b"x"])), 429, "too_many_uploads")
        assert other.get("/").is_success
        assert other.post("/").is_success
        may_end.set()
        assert first.result(PATIENCE_S).json()["bytes"] == 1000
        wait_for(lambda: other.post("/", content=iter([b"x"])).is_success)


def test_plain_http_stays_beside_it(front: tuple[Gateway, Backend, str]) -> None:
    assert httpx.get(f"{front[0].url}/").json()["scheme"] == "http"


def test_a_websocket_comes_over_tls(front: tuple[Gateway, Backend, str]) -> None:
    address = f"{front[2].replace('https', 'wss')}/socket"
    with connect(address, ssl=trusting(certificate(front)), proxy=None) as socket:
        socket.send("hello")
        assert socket.recv(PATIENCE_S) == "hello"


def test_old_versions_of_tls_are_refused(front: tuple[Gateway, Backend, str]) -> None:
    old = trusting(certificate(front))
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{front[2]}/", verify=old)


def test_a_replaced_certificate_is_taken_and_a_broken_one_is_not(
    front: tuple[Gateway, Backend, str], caplog: pytest.LogCaptureFixture
) -> None:
    running, _, url = front
    file = certificate(front)
    running.renew()
    make_certificate(file)
    running.renew()
    assert httpx.get(f"{url}/", verify=trusting(file)).status_code == 200
    trusted, good = trusting(file), file.read_text()
    file.write_text(good.replace("-----END CERTIFICATE", "no"))
    running.renew()
    assert "the certificate from before stays" in caplog.text
    assert httpx.get(f"{url}/", verify=trusted).status_code == 200
    file.write_text(good)
    running.renew()
