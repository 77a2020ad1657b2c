"""Pictures from the web. A manifest may come from anybody, so what it names is not trusted."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import httpx

from semblance.addresses import IPAddress, is_public
from semblance.errors import ImageTooLargeError, NotFoundError, UnreadableImageError

DEADLINE_S = 60.0
"""Longest time for one picture, redirects and all: 25 MB at 3.5 Mbit/s. A server that sends a byte now and
then would otherwise hold its reader for ever."""

CONNECT_S = 10.0
"""Longest time until a server takes a connection."""

SILENCE_S = 20.0
"""Longest silence of a server."""

MAX_REDIRECTS = 5

_LOOK_UPS = ThreadPoolExecutor(8, thread_name_prefix="ingest-dns")
"""A look-up cannot be interrupted. In threads of its own, one that hangs outlasts the deadline alone."""


def read_web(url: str, max_bytes: int, *, allow_private_hosts: bool) -> bytes:
    """The content behind an http:// or https:// URL; not to be called where an event loop runs.

    Unless allow_private_hosts, only hosts on the public internet are asked, in redirects, too: whoever writes
    a manifest must not read what only this machine can reach. A name is looked up once, all its addresses
    must be public, and the connection goes to one of these; proxies, which look names up themselves, are not
    used. With allow_private_hosts the proxies of the environment are.

    Raises NotFoundError for 404 and 410, ImageTooLargeError, UnreadableImageError for what a host or the
    rules refuse and after DEADLINE_S, httpx.HTTPError, httpx.InvalidURL, and OSError.
    """
    return asyncio.run(_read(url, max_bytes, allow_private_hosts))


async def _read(url: str, max_bytes: int, allow_private_hosts: bool) -> bytes:
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            httpx.AsyncClient(
                # Compressed content could be small on the wire and fill the memory.
                headers={"Accept-Encoding": "identity"},
                timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S),
                trust_env=allow_private_hosts,
                verify=_tls(),
            ) as client,
        ):
            target = httpx.URL(url)
            for _ in range(MAX_REDIRECTS + 1):
                response = await _ask(client, target, allow_private_hosts=allow_private_hosts)
                try:
                    if not response.has_redirect_location:
                        return await _content(response, max_bytes)
                    target = target.join(response.headers["location"])
                finally:
                    await response.aclose()
            raise UnreadableImageError(f"it could not be read: more than {MAX_REDIRECTS} redirects")
    except TimeoutError as exc:
        raise UnreadableImageError(f"it could not be read: not whole after {DEADLINE_S:.0f} s") from exc
    except httpx.TimeoutException as exc:
        raise UnreadableImageError("it could not be read: the server was silent for too long") from exc


async def _ask(client: httpx.AsyncClient, url: httpx.URL, *, allow_private_hosts: bool) -> httpx.Response:
    """The beginning of a host's answer. Raises UnreadableImageError for a host that may not be asked."""
    if url.scheme not in {"http", "https"} or not url.host:
        raise UnreadableImageError(f"it could not be read: {url.scheme}://{url.host} is no web server")
    if allow_private_hosts:
        return await client.send(client.build_request("GET", url), stream=True)
    addresses = await _public_addresses(url)
    while True:
        # To the very address that was checked, so that a name which resolves differently a moment later gains
        # nothing; Host and certificate are still the name's.
        request = client.build_request(
            "GET",
            url.copy_with(host=str(addresses.pop(0))),
            headers={"Host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.raw_host.decode("ascii").strip("[]")},
        )
        try:
            return await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if not addresses:
                raise


async def _public_addresses(url: httpx.URL) -> list[IPAddress]:
    host = url.raw_host.decode("ascii").strip("[]")
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_LOOK_UPS, look_up)
    addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    if not all(map(is_public, addresses)):
        raise UnreadableImageError(
            f"it could not be read: {host} is not on the public internet; --allow-private-hosts takes such"
        )
    # IPv4 first: not every network has routes for the other.
    return sorted(addresses, key=lambda address: address.version)


async def _content(response: httpx.Response, max_bytes: int) -> bytes:
    if response.status_code in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
        raise NotFoundError("there is no such file")
    if not response.is_success:
        answer = f"{response.status_code} {response.reason_phrase}".strip()
        raise UnreadableImageError(f"it could not be read: the server answered {answer}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnreadableImageError("it could not be read: the server compressed it unasked")
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > max_bytes:
            raise ImageTooLargeError(f"{len(data)} bytes or more; at most {max_bytes} are accepted")
    return bytes(data)


@lru_cache
def _tls() -> ssl.SSLContext:
    """Made once: reading the certificates takes longer than most requests."""
    return httpx.create_ssl_context()
