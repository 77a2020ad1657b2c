"""The lines of a text file of unknown encoding, read as a stream with bounded memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self

LINE_LENGTH = 1024 * 1024
"""Longest line in characters. A row of a manifest has some hundreds."""


class TextLines:
    """The lines of a seekable file at its beginning; a context manager that leaves the file open.

    UTF-8, with or without byte-order mark, or UTF-16, which spreadsheets call Unicode text. Everything else
    is Windows-1252, the other encoding in which they save; the first line that is not ASCII decides. Invalid
    bytes are kept as lone surrogates (PEP 383), so that they are found where they matter.
    """

    def __init__(self, file: BinaryIO) -> None:
        head = file.read(4)
        file.seek(0)
        self.encoding = _encoding_of(head)
        errors = "surrogateescape" if self.encoding == "utf-8-sig" else "surrogatepass"
        self._text = io.TextIOWrapper(file, encoding=self.encoding, errors=errors, newline="")
        self._decided = self.encoding != "utf-8-sig" or head.startswith(b"\xef\xbb\xbf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._text.detach()

    def __iter__(self) -> Iterator[str | None]:
        """Each line with its end; None for a line longer than LINE_LENGTH."""
        while line := self._text.readline(LINE_LENGTH + 1):
            if len(line) <= LINE_LENGTH:
                yield self._decoded(line)
                continue
            while line and not line.endswith(("\n", "\r")):
                line = self._text.readline(LINE_LENGTH)
            yield None

    def _decoded(self, line: str) -> str:
        if not self._decided and not line.isascii():
            self._decided = True
            if any("\udc80" <= character <= "\udcff" for character in line):
                self.encoding = "cp1252"
        if self.encoding == "cp1252":
            return line.encode("utf-8", "surrogateescape").decode("cp1252", "surrogateescape")
        return line


def _encoding_of(head: bytes) -> str:
    """The encoding that the first four bytes show; UTF-8 if they show none."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # Column names begin with ASCII, whose other bytes are zero in UTF-16.
    if len(head) == 4 and not any(head[1::2]) and all(head[::2]):
        return "utf-16-le"
    if len(head) == 4 and not any(head[::2]) and all(head[1::2]):
        return "utf-16-be"
    return "utf-8-sig"
