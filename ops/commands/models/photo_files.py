"""Photos in files, embedded with a pack, for the commands that measure it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from rich.table import Table

from batch.ingest.files import open_regular
from batch.progress import JobProgress
from deployments.faces.decoder import PATIENCE, DecoderProcess
from deployments.faces.pipeline import LocalPipeline
from ops.commands.output import errors
from semblance.errors import ImageTooLargeError, NoFaceError, SemblanceError
from semblance.settings import Settings
from semblance.sizes import byte_size
from semblance.types import Embedding

CHUNK = 8
"""Photos embedded together; a larger number is hardly faster."""

LISTED = 10
"""How many photos are listed for each problem."""

Problem: TypeAlias = Literal["missing", "unreadable", "too_large", "no_face", "duplicate"]

MEANING: dict[Problem, str] = {
    "missing": "the file does not exist or may not be read",
    "unreadable": "the photo is damaged, or its format is not supported",
    "too_large": "the photo exceeds the limit of bytes or pixels",
    "no_face": "the pack finds no face",
    "duplicate": "another file has the same content",
}
"""Why a photo is left out."""


def open_pipeline(settings: Settings) -> LocalPipeline:
    """The pipeline of the pack that the settings name, with a process that decodes."""
    return LocalPipeline(settings, DecoderProcess(settings, patience=PATIENCE))


@dataclass
class LeftOut:
    """The photos that were not used, by problem."""

    names: dict[Problem, list[str]] = field(default_factory=dict)

    def add(self, problem: Problem, name: str) -> None:
        self.names.setdefault(problem, []).append(name)

    @property
    def counts(self) -> dict[str, int]:
        return {problem: len(names) for problem, names in self.names.items()}

    def table(self) -> Table:
        """Each problem with the number of photos and the first of them."""
        table = Table("Photos left out", "", "Why", "Which")
        for problem, names in self.names.items():
            more = ["…"] if len(names) > LISTED else []
            table.add_row(problem, str(len(names)), MEANING[problem], "\n".join([*names[:LISTED], *more]))
        return table


def embed_files(
    pipeline: LocalPipeline, settings: Settings, files: Sequence[Path], what: str
) -> Iterator[tuple[Path, Embedding | Problem]]:
    """Each file with the embedding of its largest face, or its problem. Progress is printed to stderr."""
    with JobProgress(errors, what, len(files), aside="left out") as progress:
        for start in range(0, len(files), CHUNK):
            chunk = files[start : start + CHUNK]
            contents = [_read(file, settings.max_image_bytes) for file in chunk]
            embedded = iter(pipeline.embed_largest([each for each in contents if isinstance(each, bytes)]))
            results = [_result(next(embedded)) if isinstance(each, bytes) else each for each in contents]
            problems = Counter(isinstance(result, str) for result in results)
            progress.advance(len(chunk), problems[True])
            yield from zip(chunk, results, strict=True)


def read_photo(file: Path, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes. Raises OSError, ImageTooLargeError."""
    with open_regular(file) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise ImageTooLargeError(f"{file} is larger than {byte_size(limit)}.")
    return content


def _read(file: Path, limit: int) -> bytes | Problem:
    try:
        return read_photo(file, limit)
    except OSError:
        return "missing"
    except ImageTooLargeError:
        return "too_large"


def _result(embedded: Embedding | SemblanceError) -> Embedding | Problem:
    if isinstance(embedded, NoFaceError):
        return "no_face"
    if isinstance(embedded, ImageTooLargeError):
        return "too_large"
    return "unreadable" if isinstance(embedded, SemblanceError) else embedded
