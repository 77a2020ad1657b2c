"""Pictures from the web. A manifest may come from anyone, so its URLs are not trusted."""

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
from semblance.sizes import byte_size

DEADLINE_S = 60.0
"""Time limit for one picture, redirects included: 25 MB at 3.5 Mbit/s. A server that sends a byte now and
then would otherwise hold its reader forever."""

CONNECT_S = 10.0
"""Longest time until a server accepts a connection."""

SILENCE_S = 20.0
"""Longest time without a byte from a server."""

MAX_REDIRECTS = 5

_LOOK_UPS = ThreadPoolExecutor(8, thread_name_prefix="ingest-dns")
"""A look-up cannot be interrupted. In these threads one that hangs outlives the deadline and holds nothing
up."""


def read_web(url: str, max_bytes: int, *, allow_private_hosts: bool) -> bytes:
    """The content behind an http:// or https:// URL. Not to be called in a thread with a running event loop.

    Without allow_private_hosts only hosts on the public internet are asked, also after redirects: the author
    of a manifest must not read what only this machine can reach. A name is looked up once, all its addresses
    must be public, and the connection goes to one of them. Proxies, which look up names themselves, are not
    used. With allow_private_hosts the proxies of the environment are used.

    Raises NotFoundError for 404 and 410, ImageTooLargeError, UnreadableImageError after DEADLINE_S and if the
    host or the rules refuse, httpx.HTTPError, httpx.InvalidURL, and OSError.
    """
    return asyncio.run(_read(url, max_bytes, allow_private_hosts))


async def _read(url: str, max_bytes: int, allow_private_hosts: bool) -> bytes:
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            httpx.AsyncClient(
                # Content that is small when compressed could fill the memory.
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
        raise UnreadableImageError(f"it could not be read: incomplete after {DEADLINE_S:.0f} s") from exc
    except httpx.TimeoutException as exc:
        raise UnreadableImageError("it could not be read: the server was silent for too long") from exc


async def _ask(client: httpx.AsyncClient, url: httpx.URL, *, allow_private_hosts: bool) -> httpx.Response:
    """The head of a host's response. Raises UnreadableImageError for a host that must not be asked."""
    if url.scheme not in {"http", "https"} or not url.host:
        raise UnreadableImageError(f"it could not be read: {url.scheme}://{url.host} is not a web server")
    if allow_private_hosts:
        return await client.send(client.build_request("GET", url), stream=True)
    addresses = await _public_addresses(url)
    while True:
        # To the address that was checked, so that a name that resolves differently a moment later gains
        # nothing. Host and certificate are still those of the name.
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
            f"it could not be read: {host} is not on the public internet; --allow-private-hosts accepts it"
        )
    # IPv4 first: not every network has a route for IPv6.
    return sorted(addresses, key=lambda address: address.version)


async def _content(response: httpx.Response, max_bytes: int) -> bytes:
    if response.status_code in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
        raise NotFoundError("the file does not exist")
    if not response.is_success:
        answer = f"{response.status_code} {response.reason_phrase}".strip()
        raise UnreadableImageError(f"it could not be read: the server answered {answer}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnreadableImageError("it could not be read: the server compressed it although asked not to")
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > max_bytes:
            raise too_large(max_bytes)
    return bytes(data)


@lru_cache
def _tls() -> ssl.SSLContext:
    """Cached: reading the certificates takes longer than most requests."""
    return httpx.create_ssl_context()


def too_large(max_bytes: int) -> ImageTooLargeError:
    """The refusal of a picture of more than `max_bytes`, wherever it was read."""
    return ImageTooLargeError(f"it is larger than {byte_size(max_bytes)}")
