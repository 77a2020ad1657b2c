"""Which pictures an ingestion skips, and how it reads the others."""

from __future__ import annotations

import gc
import hashlib
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from batch.ingest.known import KnownHashes
from batch.read_ahead import CHUNK, read_chunks


def hash_of(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 2, 1000])
def test_known_hashes_are_found_and_no_others(size: int) -> None:
    known = KnownHashes(map(hash_of, range(size)))
    assert len(known) == size
    assert all(hash_of(number) in known for number in range(size))
    assert not any(hash_of(number) in known for number in range(size, size + 1000))
    assert "0" * 32 not in known and "f" * 32 not in known


class Picture:
    """An object whose deletion can be observed."""

    def __init__(self, number: int) -> None:
        self.number = number


@pytest.mark.parametrize("count", [0, 1, CHUNK, 3 * CHUNK + 1])
def test_pictures_are_read_in_order_and_released(count: int) -> None:
    seen: list[int] = []
    handed: list[weakref.ref[Picture]] = []
    with ThreadPoolExecutor(4) as threads:
        for chunk in read_chunks(threads, Picture, range(count)):
            assert len(chunk) <= CHUNK
            gc.collect()
            assert not any(ref() for ref in handed)
            seen += [picture.number for picture in chunk]
            handed = [weakref.ref(picture) for picture in chunk]
            del chunk
    assert seen == list(range(count))
