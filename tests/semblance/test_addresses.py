"""Addresses that no client may make this machine connect to, in all notations."""

from __future__ import annotations

import ipaddress

import pytest

from semblance.addresses import is_public


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "::1"),  # loopback
        *("0.0.0.0", "::"),  # noqa: S104 - unspecified
        *("10.0.0.7", "172.16.0.1", "192.168.1.1", "fd00::1"),  # private
        *("169.254.169.254", "fe80::1", "fe80::1%1"),  # link-local
        *("100.64.0.1", "198.18.0.1", "192.0.2.1", "2001:db8::1"),  # shared, benchmarks, examples
        *("224.0.0.1", "239.1.1.1", "ff02::1"),  # multicast
        *("240.0.0.1", "255.255.255.255", "fec0::1", "::127.0.0.1"),  # reserved, given up
        *("::ffff:192.168.1.1", "2002:c0a8:101::1", "64:ff9b::a9fe:a9fe"),  # IPv4 within IPv6
        "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo of 127.0.0.1
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
