"""Opens photos in this process, or in a separate one that a hostile file may exhaust or crash.

A decoder is C code that reads files from strangers. The separate process has a deadline, a memory limit, and
no secrets in its environment. If it ends, the photo is refused and the next one gets a new process. Nothing
it answers is unpickled.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar, cast

import numpy as np
import psutil

from deployments.faces.decoder_pipes import PIPE_BYTES, TimedPipes, new_shared_file, shared_pixels
from deployments.vision.decode import ImageHeader, OpenPhoto, Photo, read_header
from deployments.vision.pixels import Span
from semblance.errors import (
    ImageTooCostlyError,
    ImageTooLargeError,
    NotReadyError,
    OverloadedError,
    SemblanceError,
    UnreadableImageError,
)
from semblance.settings import Settings
from semblance.sizes import byte_size
from semblance.tracing import span
from semblance.types import Image

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 2
"""Attempts at a photo whose decoder process ends. The first time, something else may have killed it."""

START_S: Final = 60.0
"""Seconds within which a new process must be ready. On an idle machine it takes half a second."""

BUSY: Final = 0.5
"""Share of the deadline that a photo must have used of a core to be at fault. With less, the machine has too
little time for all that runs on it, and any photo may meet the deadline."""

PATIENCE: Final = 30
"""Deadlines that a job gives each photo, which no client waits for: five minutes with the default. On a busy
machine all that answers clients goes before the decoder's process."""

TELL_S: Final = 10.0
"""Seconds within which a process must take a message that it does not answer."""

_LONGEST_ANSWER: Final = 4096
"""Bytes of an answer's first line."""

_PROGRAM: Final = "deployments.faces.decoder_main"

_INHERITED: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SEMBLANCE_STACK")
"""Environment variables the process gets. `semblance down` finds the processes of a stack by the last one.
Large pages (GLIBC_TUNABLES), from which nets gain, are not for it: with them a HEIC in tiles takes 1.7 times
as long."""

_SET: Final = MappingProxyType(
    {"NUMPY_MADVISE_HUGEPAGE": "0", "OPENBLAS_NUM_THREADS": "1", "VIPS_CONCURRENCY": "1"}
)
"""Environment variables set for it. NumPy would ask for large pages, too. The threads of libraries would only
cost: decoding needs no linear algebra, and a PNG is unpacked row by row."""

_REFUSALS: Final = MappingProxyType(
    {kind.code: kind for kind in (ImageTooLargeError, UnreadableImageError, ImageTooCostlyError)}
)


_Result = TypeVar("_Result")


class Decoder(Protocol):
    """Opens photos, one at a time."""

    def open(self, data: bytes) -> AbstractContextManager[Photo]:
        """Open an encoded photo, to be read within the context.

        Opening and reading raise ImageTooLargeError and UnreadableImageError.
        """
        ...


class DirectDecoder:
    """Decodes in this process, where only the limits on bytes and pixels apply."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def open(self, data: bytes) -> AbstractContextManager[Photo]:
        """See Decoder."""
        limits = self._settings
        header = read_header(data, max_bytes=limits.max_image_bytes, max_pixels=limits.max_image_pixels)
        return nullcontext(OpenPhoto(data, header))


class DecoderProcess:
    """Decodes in a separate process, which is started with this object and restarted whenever it has ended.
    It ends with this object or with this process. One thread at a time uses it; others wait."""

    def __init__(self, settings: Settings, *, patience: int = 1) -> None:
        """patience: how many deadlines may pass over a photo that has used less than one of the processor's
        time."""
        self._settings = settings
        self._seconds = settings.image_deadline_s * patience
        self._lock = threading.Lock()
        self._process = _Process(settings, self._seconds)

    @property
    def pid(self) -> int:
        """The pid of the current process."""
        return self._process.pid

    @contextmanager
    def open(self, data: bytes) -> Iterator[Photo]:
        """See Decoder. Also raises ImageTooCostlyError if a photo takes more time or memory than the settings
        allow or crashes the process, OverloadedError if it is the machine that has no time, and NotReadyError
        if no process starts."""
        with self._lock:
            try:
                yield _RemotePhoto(self, data, self._settings.image_deadline_s, self._seconds)
            finally:
                with suppress(_EndedError):
                    self._process.tell({"do": "close"})

    def close(self) -> None:
        """End the process. The next photo starts another."""
        with self._lock:
            self._process.kill()

    def running(self) -> _Process:
        """The process, ready for questions; a new one if it has ended. Raises NotReadyError."""
        if self._process.has_ended:
            self._process = _Process(self._settings, self._seconds)
        self._process.wait_until_ready()
        return self._process


class LazyDecoder:
    """A DecoderProcess that starts with the first photo, for callers that seldom open one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._decoder: DecoderProcess | None = None

    def open(self, data: bytes) -> AbstractContextManager[Photo]:
        """See DecoderProcess."""
        with self._lock:
            if self._decoder is None:
                self._decoder = DecoderProcess(self._settings)
        return self._decoder.open(data)


class _RemotePhoto:
    """A photo that a DecoderProcess has open; see Photo."""

    def __init__(self, decoder: DecoderProcess, data: bytes, deadline: float, left: float) -> None:
        self._decoder = decoder
        self._data = data
        self._deadline = deadline
        self._left = left
        self._cpu_at_open = self._cpu_s = 0.0
        self._holder: _Process | None = None
        self._header = self._tried(self._open)

    @property
    def header(self) -> ImageHeader:
        return self._header

    def whole(self, long_side: int) -> tuple[Image, float]:
        answer, pixels = self._ask({"do": "whole", "long_side": long_side})
        return pixels, float(answer["scale"])

    def part(self, span: Span, divisor: int) -> tuple[Image, tuple[int, int]]:
        answer, pixels = self._ask({"do": "part", "span": span, "divisor": divisor})
        x, y = answer["begin"]
        return pixels, (int(x), int(y))

    def displayed(self, long_side: int) -> Image:
        return self._ask({"do": "displayed", "long_side": long_side})[1]

    def _open(self, process: _Process) -> ImageHeader:
        self._cpu_at_open = process.cpu_s()
        answer, _ = self._timed(process, {"do": "open"}, self._data)
        self._holder = process
        return ImageHeader(**answer)

    def _ask(self, question: Mapping[str, object]) -> tuple[dict[str, Any], Image]:
        def work(process: _Process) -> tuple[dict[str, Any], Image]:
            if self._holder is not process:
                self._open(process)
            return self._timed(process, question)

        return self._tried(work)

    def _tried(self, work: Callable[[_Process], _Result]) -> _Result:
        for _ in range(ATTEMPTS):
            process = self._decoder.running()
            with suppress(_EndedError):
                return work(process)
            self._cpu_s += process.cpu_s() - self._cpu_at_open
            if self._cpu_s >= BUSY * self._deadline:
                raise ImageTooCostlyError(
                    f"The photo took longer than {self._deadline:g} seconds to decode. Export it again as a "
                    "JPEG, or send it scaled down."
                )
            if self._left <= 0:
                raise OverloadedError("The machine is too busy to decode the photo; try again soon.", 5)
        raise ImageTooCostlyError(
            "The photo could not be decoded: it made the decoder fail. Export it again as a JPEG."
        )

    def _timed(
        self, process: _Process, question: Mapping[str, object], data: bytes = b""
    ) -> tuple[dict[str, Any], Image]:
        started = time.monotonic()
        try:
            with span("decode", step=str(question["do"])):
                return process.ask(question, data, self._left)
        finally:
            self._left -= time.monotonic() - started


class _EndedError(Exception):
    """The process has ended or was ended."""


class _Process:
    """One run of `decoder_main`. Each message is a line of JSON followed by the bytes it announces; pixels
    that fit are in the shared buffer instead."""

    def __init__(self, settings: Settings, seconds: float) -> None:
        """seconds: after which it ends itself over one question, if nothing else has ended it."""
        shared = new_shared_file()
        options = {
            "max_bytes": settings.max_image_bytes,
            "max_pixels": settings.max_image_pixels,
            "memory": settings.image_memory_bytes,
            "cpu_seconds": settings.image_deadline_s,
            "seconds": seconds,
            "shared": shared,
        }
        root = str(Path(__file__).resolve().parents[2])
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._most_pixels = settings.max_image_pixels
        self._memory = settings.image_memory_bytes
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", _PROGRAM, json.dumps(options)],
            env={**environment, **_SET, "PYTHONPATH": root},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pipesize=PIPE_BYTES,
            pass_fds=() if shared is None else (shared,),
        )
        self._shared = shared_pixels(shared)
        self._pipes = TimedPipes(cast(FileIO, self._popen.stdout), cast(FileIO, self._popen.stdin))
        self._ready = False
        self._cpu_s = 0.0
        self._info = psutil.Process(self._popen.pid)
        self.kill = weakref.finalize(self, _kill, self._popen)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def cpu_s(self) -> float:
        """Seconds of CPU that the process has used so far, or had when it was last asked before its end."""
        with suppress(psutil.Error):
            times = self._info.cpu_times()
            self._cpu_s = times.user + times.system
        return self._cpu_s

    @property
    def has_ended(self) -> bool:
        return self._popen.poll() is not None

    def wait_until_ready(self) -> None:
        """Wait until the process accepts photos. Raises NotReadyError."""
        if self._ready:
            return
        try:
            with self._or_end():
                self._answer(time.monotonic() + START_S)
        except _EndedError as exc:
            raise NotReadyError("The process that decodes photos does not start; its log says why.") from exc
        self._ready = True

    def ask(
        self, question: Mapping[str, object], data: bytes, seconds: float
    ) -> tuple[dict[str, Any], Image]:
        """Ask a question; return the answer and the pixels that come with it, if any.

        Raises _EndedError when the process ends or `seconds` have passed, and the error that the process
        reports for the photo.
        """
        deadline = time.monotonic() + seconds
        with self._or_end():
            self._tell(question, data, deadline)
            answer, pixels = self._answer(deadline)
        if "lacks_memory" in answer:
            logger.warning(
                "refused a photo that takes more memory than SEMBLANCE_IMAGE_MEMORY_BYTES allows (%s)",
                byte_size(self._memory),
            )
            raise ImageTooCostlyError(
                "The photo takes more memory to decode than is allowed. Send it scaled down."
            )
        if "refused" in answer:
            raise _refusal(str(answer["refused"]), str(answer["message"]))
        return answer, pixels

    def tell(self, question: Mapping[str, object], data: bytes = b"") -> None:
        """Ask without waiting for an answer. Raises _EndedError."""
        with self._or_end():
            self._tell(question, data, time.monotonic() + TELL_S)

    def _tell(self, question: Mapping[str, object], data: bytes, deadline: float) -> None:
        self._pipes.write((json.dumps({**question, "bytes": len(data)}).encode() + b"\n", data), deadline)

    def _answer(self, deadline: float) -> tuple[dict[str, Any], Image]:
        answer: dict[str, Any] = json.loads(self._pipes.read_line(_LONGEST_ANSWER, deadline))
        height, width = map(int, answer.pop("size", (0, 0)))
        # No answer has more pixels than a photo may have.
        if not 0 <= height * width <= self._most_pixels:
            raise ValueError
        pixels = np.empty((height, width, 3), np.uint8)
        if answer.pop("is_shared", False):
            # Copied, since the next answer is written there too. A different length raises ValueError.
            pixels.reshape(-1)[:] = self._shared[: pixels.size]
        else:
            self._pipes.read_into(pixels.reshape(-1).data, deadline)
        return answer, pixels

    @contextmanager
    def _or_end(self) -> Iterator[None]:
        """Kill the process, and raise _EndedError, if it has ended, is too slow, or answers nonsense."""
        try:
            yield
        except (OSError, EOFError, ValueError, TypeError, AttributeError) as exc:
            self.cpu_s()
            self.kill()
            raise _EndedError from exc


def _refusal(code: str, message: str) -> SemblanceError:
    return _REFUSALS.get(code, UnreadableImageError)(message)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):
            if pipe:
                pipe.close()
