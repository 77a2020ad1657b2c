"""Pipes that end at a deadline, and memory that two processes share."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from io import FileIO
from typing import Final

import pytest

from deployments.faces.decoder_pipes import SHARED_BYTES, TimedPipes, new_shared_file, shared_pixels
from tests.support.waiting import PATIENCE_S

SOON: Final = 0.01
"""Seconds until a deadline that passes."""


class Child:
    """The child's ends of the pipes, in this process."""

    def __init__(self) -> None:
        questions, written = os.pipe()
        read, answers = os.pipe()
        self.questions, self.answers = FileIO(questions, "rb"), FileIO(answers, "wb")
        self._parents = FileIO(read, "rb"), FileIO(written, "wb")
        self.pipes = TimedPipes(*self._parents)

    def end(self) -> None:
        """Close the child's ends."""
        self.questions.close()
        self.answers.close()

    def close(self) -> None:
        """Close all."""
        self.end()
        for file in self._parents:
            file.close()


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.close()


def in_time() -> float:
    return time.monotonic() + PATIENCE_S


def test_lines_and_bytes_come_apart_as_they_were_sent(child: Child) -> None:
    child.answers.write(b"first\nsecond\nabcde")
    child.answers.write(b"fgh\n")
    read = bytearray(8)
    assert child.pipes.read_line(100, in_time()) == b"first"
    assert child.pipes.read_line(100, in_time()) == b"second"
    child.pipes.read_into(memoryview(read)[:3], in_time())
    child.pipes.read_into(memoryview(read)[3:], in_time())
    assert read == b"abcdefgh"
    assert child.pipes.read_line(100, in_time()) == b""


def test_a_line_without_end_is_cut(child: Child) -> None:
    child.answers.write(b"x" * 200)
    assert child.pipes.read_line(100, in_time()) == b"x" * 100


def test_what_is_written_arrives(child: Child) -> None:
    child.pipes.write((b"one\n", b"", b"two"), in_time())
    assert child.questions.read(100) == b"one\ntwo"


def test_a_silent_or_busy_child_costs_no_more_than_the_deadline(child: Child) -> None:
    with pytest.raises(TimeoutError):
        child.pipes.read_line(100, time.monotonic() + SOON)
    child.answers.write(b"begun")
    with pytest.raises(TimeoutError):
        child.pipes.read_into(memoryview(bytearray(6)), time.monotonic() + SOON)
    with pytest.raises(TimeoutError):
        child.pipes.write((bytes(4 * 1024 * 1024),), time.monotonic() + SOON)


def test_a_child_that_has_ended_is_noticed(child: Child) -> None:
    child.answers.write(b"begun")
    child.end()
    with pytest.raises(EOFError):
        child.pipes.read_line(100, in_time())
    with pytest.raises(EOFError):
        child.pipes.read_into(memoryview(bytearray(6)), in_time())
    with pytest.raises(BrokenPipeError):
        child.pipes.write((b"x",), in_time())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such memory")
def test_shared_memory_is_seen_by_both_and_keeps_its_size() -> None:
    file = new_shared_file()
    assert file is not None
    for size in (0, SHARED_BYTES - 1, SHARED_BYTES + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(file, size)
    theirs, ours = shared_pixels(os.dup(file)), shared_pixels(file)
    theirs[-1] = 7
    assert ours[-1] == 7
    assert ours.size == SHARED_BYTES
