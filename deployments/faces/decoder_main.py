"""The program of DecoderProcess: decodes the photos that arrive on standard input, until that ends.

It answers each question with a line of JSON and, if that has a size, pixels: in the shared buffer, or after
the line if they do not fit. The questions are `open`, which comes with the bytes of a file and is answered by
its header, and `whole`, `part` and `displayed`, the methods of Photo. `close` releases the file and has no
answer.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from types import FrameType
from typing import IO, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.faces.decoder_pipes import shared_pixels
from deployments.faces.memory import keep_memory, kept_bytes, return_memory
from deployments.vision.decode import OpenPhoto, read_header
from semblance.cores import give_way
from semblance.errors import SemblanceError, UnreadableImageError
from semblance.types import Image

_GRACE_S: Final = 1.0
"""Seconds after the deadline at which the process ends itself, because the process that should have ended it
is gone. PR_SET_PDEATHSIG would not do: it fires when the thread that started this process ends."""

_BYTES_A_PIXEL: Final = 3

IDLE_S: Final = 1.0
"""Seconds without a question after which the memory of photos is returned."""


class _Worker:
    """Holds the open photo."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self._limits = limits
        self._photo: OpenPhoto | None = None

    def answer(self, question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], Image | None]:
        """The answer to a question and its pixels. Raises SemblanceError."""
        what = question["do"]
        if what == "close":
            self._photo = None
            return {}, None
        if what == "open":
            self._photo = None
            limits = self._limits
            header = read_header(data, max_bytes=limits["max_bytes"], max_pixels=limits["max_pixels"])
            if _BYTES_A_PIXEL * header.width * header.height > kept_bytes(limits["memory"]):
                # What is kept is too little for it, and must not add to what it takes.
                return_memory()
            self._photo = OpenPhoto(data, header)
            return {name: getattr(header, name) for name in header.__slots__}, None
        if self._photo is None:
            raise UnreadableImageError("No photo is open.")
        if what == "whole":
            pixels, scale = self._photo.whole(question["long_side"])
            return {"scale": scale}, pixels
        if what == "displayed":
            return {}, self._photo.displayed(question["long_side"])
        x1, y1, x2, y2 = question["span"]
        pixels, begin = self._photo.part((x1, y1, x2, y2), question["divisor"])
        return {"begin": begin}, pixels


def main() -> None:
    """Answer the questions on standard input. What libraries print goes to standard error."""
    give_way()
    limits = json.loads(sys.argv[1])
    shared = shared_pixels(limits.pop("shared"))
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and its end this one.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (limits["memory"], limits["memory"]))
    keep_memory(limits["memory"])
    cv2.setNumThreads(1)
    worker = _Worker(limits)
    _send(answers, {}, None, shared)
    while line := questions.readline():
        question = json.loads(line)
        # In this order, so that the end of idleness does not end the process.
        signal.setitimer(signal.ITIMER_REAL, limits["seconds"] + _GRACE_S)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        if question["do"] == "open":
            # A photo that takes all of them ends the process, by SIGPROF.
            signal.setitimer(signal.ITIMER_PROF, limits["cpu_seconds"])
        # Without the memory for it, the process ends: what is left of a photo must not be read as questions.
        data = questions.read(question["bytes"])
        try:
            answer, pixels = worker.answer(question, data)
        except SemblanceError as exc:
            answer, pixels = {"refused": exc.code, "message": exc.message}, None
        except MemoryError:
            answer, pixels = {"lacks_memory": True}, None
        if question["do"] != "close":
            _send(answers, answer, pixels, shared)
        signal.signal(signal.SIGALRM, _rest)
        signal.setitimer(signal.ITIMER_REAL, IDLE_S)


def _rest(number: int, frame: FrameType | None) -> None:
    return_memory()


def _send(
    answers: IO[bytes], answer: dict[str, Any], pixels: Image | None, shared: NDArray[np.uint8]
) -> None:
    is_shared = pixels is not None and pixels.size <= shared.size
    if pixels is not None:
        answer = {**answer, "size": pixels.shape[:2], "is_shared": is_shared}
    if pixels is not None and is_shared:
        shared[: pixels.size] = pixels.reshape(-1)
    answers.write(json.dumps(answer).encode() + b"\n")
    if pixels is not None and not is_shared:
        answers.write(pixels.reshape(-1).data)
    answers.flush()


if __name__ == "__main__":
    main()
