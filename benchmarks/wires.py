"""Hands on the packets between the network namespaces of `benchmarks.machines`, each after a delay.

It stands in for a switch with long cables, because not every kernel can delay packets (`tc … netem`). Each
argument is ADDRESS=FILE: an IPv4 address and the open TUN device whose other end has it. A line on standard
input is the seconds that each packet takes from now on; at its end, this ends.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections import deque
from contextlib import suppress

LARGEST = 65_535
"""Bytes of a packet."""

AT_ONCE = 64
"""Packets taken from a device before others have their turn."""


def forward(devices: dict[bytes, int]) -> None:
    """Until standard input ends. devices: open files by packed address."""
    commands = sys.stdin.fileno()
    delay = 0.0
    under_way: deque[tuple[float, int, bytes]] = deque()
    while True:
        left = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        # select waits for microseconds, epoll for whole milliseconds.
        ready, _, _ = select.select([commands, *devices.values()], [], [], left)
        for file in ready:
            if file == commands:
                line = os.read(commands, 100)
                if not line:
                    return
                delay = float(line)
                continue
            for packet in _waiting(file):
                # Of IPv6 and broadcasts nothing depends.
                target = devices.get(packet[16:20])
                if target is not None:
                    under_way.append((time.monotonic() + delay, target, packet))
        while under_way and under_way[0][0] <= time.monotonic():
            _, target, packet = under_way.popleft()
            # A device that is gone or full loses the packet, as a cable would.
            with suppress(OSError):
                os.write(target, packet)


def _waiting(device: int) -> list[bytes]:
    packets: list[bytes] = []
    with suppress(BlockingIOError):
        while len(packets) < AT_ONCE:
            packets.append(os.read(device, LARGEST))
    return packets


if __name__ == "__main__":
    ends = (argument.split("=") for argument in sys.argv[1:])
    forward({socket.inet_aton(address): int(file) for address, file in ends})
