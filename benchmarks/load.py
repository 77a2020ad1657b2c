"""A closed-loop HTTP client, cheap enough to share the machine with the service it measures."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

BOUNDARY = "semblance-benchmark"


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Throughput and latency of one run: requests/s over the whole run, milliseconds, failures by status."""

    connections: int
    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    failures: dict[int, int]


def multipart(data: bytes) -> bytes:
    """A form body with the picture in the field `file`."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="photo"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def run_load(
    url: str, pictures: Sequence[bytes], *, connections: int, requests: int, api_key: str = ""
) -> LoadResult:
    """Post the pictures round-robin over `connections` keep-alive connections, `requests` in all, each
    connection sending its next request when the last is answered."""
    target = urlsplit(url)
    bodies = [multipart(data) for data in pictures]
    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Authorization": f"Bearer {api_key}",
    }
    counter = iter(range(requests))
    lock = threading.Lock()
    seconds: list[float] = []
    failures: dict[int, int] = {}

    def work() -> None:
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=120)
        while True:
            with lock:
                index = next(counter, None)
            if index is None:
                break
            start = time.perf_counter()
            connection.request("POST", target.path, bodies[index % len(bodies)], headers)
            response = connection.getresponse()
            response.read()
            took = time.perf_counter() - start
            with lock:
                if response.status == http.client.OK:
                    seconds.append(took)
                else:
                    failures[response.status] = failures.get(response.status, 0) + 1
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000 if seconds else (float("nan"),) * 2
    return LoadResult(connections, requests, len(seconds) / elapsed, float(p50), float(p99), failures)
