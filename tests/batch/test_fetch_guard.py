"""Which addresses a manifest's URL may reach, and for how long, tested with real servers on this machine."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from batch.ingest import web
from batch.ingest.fetch import fetch
from semblance.errors import ImageTooLargeError, NotFoundError, UnreadableImageError
from tests.support import http_server

PICTURE = b"a picture"
NAME = "pictures.example"


class Site(http_server.QuietHandler):
    """Answers by path. `asked` holds the host and path of each request."""

    asked: list[tuple[str, str]]
    drips: threading.Event

    def do_GET(self) -> None:
        self.asked.append((self.headers["Host"], self.path))
        match self.path.strip("/").split("/", 1):
            case ["to", target]:
                self.answer(302, {"Location": target})
            case ["around", _]:
                self.answer(302, {"Location": f"{self.path}x"})
            case ["status", code]:
                self.answer(int(code), {})
            case ["zipped"]:
                self.answer(200, {"Content-Encoding": "gzip"}, PICTURE)
            case ["drip"]:
                self.answer(200, {"Content-Length": "1000"})
                self.drip(b"x")
            case ["drip-headers"]:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                self.drip(b"x")
            case ["endless"]:
                self.answer(200, {})
                self.drip(b"x" * 10_000, 0.0)
            case _:
                self.answer(200, {"Content-Length": str(len(PICTURE))}, PICTURE)

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def drip(self, drop: bytes, pause: float = 0.02) -> None:
        """Send until the reader stops."""
        try:
            while not self.drips.wait(pause):
                self.wfile.write(drop)
                self.wfile.flush()
        except OSError:
            self.close_connection = True


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """The port of a site on 127.0.0.1, and what it is asked."""
    asked: list[tuple[str, str]] = []
    over = threading.Event()
    site = type("OneSite", (Site,), {"asked": asked, "drips": over})
    with http_server.serving(site, tls) as url:
        yield int(url.rpartition(":")[2]), asked
        over.set()


@pytest.fixture
def site() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    with serving() as (port, asked):
        yield f"http://127.0.0.1:{port}", asked


@pytest.fixture
def as_public(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Makes NAME and 127.0.0.1 a host on the public internet; returns how often NAME was looked up. Each
    further look-up leads elsewhere, as that of an attacker's name server would."""
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: int, **options: int) -> object:
        if host != NAME:
            return real(host, port, *rest, **options)
        looked_up.append(host)
        return real("127.0.0.1" if len(looked_up) == 1 else "127.0.0.2", port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(web, "is_public", lambda address: address == ipaddress.ip_address("127.0.0.1"))
    return lambda: len(looked_up)


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:{port}/a.jpg", "http://localhost:{port}/a.jpg", "http://2130706433:{port}/a.jpg"),
        *("http://0x7f.1:{port}/a.jpg", "http://127.1:{port}/a.jpg", "http://0.0.0.0:{port}/a.jpg"),
        *(
            "http://[::1]:{port}/a.jpg",
            "http://[::ffff:127.0.0.1]:{port}/a.jpg",
            "http://[fe80::1%251]/a.jpg",
        ),
        *("http://169.254.169.254/latest/meta-data", "http://10.0.0.7/a.jpg", "https://192.168.1.1/a.jpg"),
        *("http://100.64.0.1/a.jpg", "http://224.0.0.1/a.jpg", "http://user:pw@127.0.0.1:{port}/a.jpg"),
    ],
)
def test_only_the_public_internet_is_reached(site: tuple[str, list[object]], url: str) -> None:
    address, asked = site
    with pytest.raises(UnreadableImageError, match="not on the public internet"):
        fetch(url.format(port=address.rpartition(":")[2]), 100)
    assert asked == []


def test_an_allowed_address_is_reached(site: tuple[str, list[object]]) -> None:
    assert fetch(f"{site[0]}/a.jpg", 100, allow_private_hosts=True) == PICTURE


def test_a_name_that_resolves_to_this_machine_is_not_reached(
    site: tuple[str, list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds even if other addresses of the name are public."""
    port = int(site[0].rpartition(":")[2])
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("8.8.8.8", "127.0.0.1")]
    for found in (both, both[1:]):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, found=found, **__: found)
        with pytest.raises(UnreadableImageError, match=f"{NAME} is not on the public internet"):
            fetch(f"http://{NAME}:{port}/a.jpg", 100)
    assert site[1] == []


def test_a_name_is_looked_up_once_and_that_address_is_asked(
    site: tuple[str, list[object]], as_public: Callable[[], int]
) -> None:
    port = site[0].rpartition(":")[2]
    assert fetch(f"http://{NAME}:{port}/a.jpg?b=1", 100) == PICTURE
    assert as_public() == 1
    assert site[1] == [(f"{NAME}:{port}", "/a.jpg?b=1")]


@pytest.mark.usefixtures("as_public")
@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://127.0.0.2:{port}/a.jpg", "not on the public internet"),
        ("http://localhost.localdomain:{port}/a.jpg", "could not be read"),
        ("http://169.254.169.254/latest", "not on the public internet"),
        ("file:///etc/passwd", "not a web server"),
        ("ftp://127.0.0.1/a.jpg", "not a web server"),
        ("http://[bad/a.jpg", "could not be read"),
    ],
)
def test_a_redirect_obeys_the_same_rules(site: tuple[str, list[object]], target: str, reason: str) -> None:
    port = site[0].rpartition(":")[2]
    with pytest.raises(UnreadableImageError, match=reason):
        fetch(f"{site[0]}/to/{target.format(port=port)}", 100)
    assert len(site[1]) == 1


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.usefixtures("as_public")
def test_redirects_are_followed_and_counted(site: tuple[str, list[object]], allowed: bool) -> None:
    assert fetch(f"{site[0]}/to//to/{site[0]}/a.jpg", 100, allow_private_hosts=allowed) == PICTURE
    with pytest.raises(UnreadableImageError, match="more than 5 redirects"):
        fetch(f"{site[0]}/around/x", 100, allow_private_hosts=allowed)


@pytest.mark.parametrize("path", ["drip", "drip-headers"])
def test_a_server_that_sends_slowly_is_given_up(
    site: tuple[str, list[object]], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(web, "DEADLINE_S", 0.3)
    with pytest.raises(UnreadableImageError, match="incomplete after"):
        fetch(f"{site[0]}/{path}", 10_000, allow_private_hosts=True)


def test_a_lookup_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(web, "DEADLINE_S", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait())
    try:
        with pytest.raises(UnreadableImageError, match="incomplete after"):
            fetch(f"http://{NAME}/a.jpg", 100)
    finally:
        over.set()


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "SILENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.jpg"
        with pytest.raises(UnreadableImageError, match="silent"):
            fetch(url, 100, allow_private_hosts=True)


def test_no_more_is_read_than_the_limit(site: tuple[str, list[object]]) -> None:
    with pytest.raises(ImageTooLargeError):
        fetch(f"{site[0]}/endless", 1_000_000, allow_private_hosts=True)
    with pytest.raises(ImageTooLargeError):
        fetch(f"{site[0]}/a.jpg", len(PICTURE) - 1, allow_private_hosts=True)


@pytest.mark.parametrize(
    ("path", "error", "reason"),
    [
        ("status/404", NotFoundError, "does not exist"),
        ("status/410", NotFoundError, "does not exist"),
        ("status/403", UnreadableImageError, "the server answered 403 Forbidden"),
        ("status/500", UnreadableImageError, "the server answered 500"),
        ("zipped", UnreadableImageError, "compressed"),
    ],
)
def test_other_answers_have_their_reason(
    site: tuple[str, list[object]], path: str, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        fetch(f"{site[0]}/{path}", 100, allow_private_hosts=True)


@pytest.mark.parametrize(
    "url", ["http://a..b/x.jpg", "http://" + "a" * 300 + "/x.jpg", "http://h\0/x", "a\0b"]
)
def test_an_invalid_address_fails_that_picture_alone(url: str) -> None:
    with pytest.raises((UnreadableImageError, NotFoundError)):
        fetch(url, 100)


@pytest.mark.usefixtures("as_public")
def test_proxies_of_the_environment_are_used_only_if_all_addresses_are_allowed(
    site: tuple[str, list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as (proxy_port, through_proxy):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy_port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        fetch(f"{site[0]}/a.jpg", 100)
        assert through_proxy == []
        fetch(f"{site[0]}/a.jpg", 100, allow_private_hosts=True)
        assert len(through_proxy) == 1


def certificate(folder: Path, name: str) -> Path:
    """A file with a key and a self-signed certificate for `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.usefixtures("as_public")
@pytest.mark.parametrize("name", [NAME, "others.example"])
def test_the_certificate_must_match_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The connection itself goes to an address."""
    file = certificate(tmp_path, name)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    asked_for: list[str | None] = []
    tls.sni_callback = lambda _, sni, __: asked_for.append(sni)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    web._tls.cache_clear()
    try:
        with serving(tls) as (port, _):
            if name == NAME:
                assert fetch(f"https://{NAME}:{port}/a.jpg", 100) == PICTURE
            else:
                with pytest.raises(UnreadableImageError, match="certificate"):
                    fetch(f"https://{NAME}:{port}/a.jpg", 100)
    finally:
        web._tls.cache_clear()
    assert asked_for == [NAME]
