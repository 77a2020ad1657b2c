"""Which internet addresses are public, so that a stranger may tell this server to connect to them."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 addresses as a translator writes them (RFC 6052, section 2.1)."""


def is_public(address: IPAddress) -> bool:
    """Whether an address lies on the public internet: not loopback, link-local, private, shared (that of a
    carrier's NAT), multicast, unspecified or reserved. An IPv6 address that stands for an IPv4 address is
    judged by the latter."""
    if isinstance(address, ipaddress.IPv6Address):
        if embedded := _embedded(address):
            return is_public(embedded)
        if address.is_reserved or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to an IPv6 address reach: mapped, or by 6to4, Teredo or NAT64."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
