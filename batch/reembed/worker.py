"""The worker of a re-embedding: rows in, embeddings by another pack out; pictures stay here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np

from batch.read_ahead import IO_THREADS, read_chunks
from db.spare_embeddings import Pending, Table
from deployments.faces.decoder import DecoderProcess
from deployments.faces.pipeline import LocalPipeline
from semblance.errors import (
    BadInputError,
    ImageTooLargeError,
    NotFoundError,
    PackMismatchError,
    SemblanceError,
    UnreadableImageError,
)
from semblance.settings import Settings
from semblance.storage import open_storage
from semblance.stored_pictures import read_picture_sync
from semblance.types import DetectedFace, Embedding, Landmarks

ReembedOutcome: TypeAlias = Literal[
    "embedded", "missing", "no_face", "another_face", "unreadable", "too_large", "failed"
]

OUTCOMES: tuple[ReembedOutcome, ...] = get_args(ReembedOutcome)

MEANINGS: dict[ReembedOutcome, str] = {
    "embedded": "has a spare embedding now",
    "missing": "its picture is not in the picture store",
    "no_face": "the pack finds no face in its picture",
    "another_face": "the pack finds faces, but none where the stored one is",
    "unreadable": "its picture is damaged",
    "too_large": "its picture is over the limit of bytes or pixels",
    "failed": "not the picture's fault; run the same command again",
}

SAME_FACE = 0.5
"""Mean distance of the 68 landmarks of two packs, as a share of the face's size, up to which they are of one
face. Two nets differ by a few hundredths on the same face; two faces lie at least their size apart."""

TableRow: TypeAlias = tuple[Table, Pending]
"""A row and the table it is in."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReembedResult:
    """What became of one row: its embedding, float32 [512] of unit length, or why there is none."""

    outcome: ReembedOutcome
    reason: str = ""
    embedding: Embedding | None = None


class ReembedWorker:
    """Reads stored pictures and embeds the stored face of each: an actor that holds the nets of one pack.

    The embedding of a picture is the one that its upload with this pack would get, whichever worker and
    batch it falls into, up to the equality of batched and single runs that a pack's nets prove when they are
    loaded.
    """

    def __init__(self, settings: Settings, pack_digest: str) -> None:
        """settings: with the pack to embed by. Raises PackMismatchError where it is another one here."""
        cv2.setNumThreads(settings.threads)
        self._pipeline = LocalPipeline(settings, DecoderProcess(settings))
        if self._pipeline.model.digest != pack_digest:
            raise PackMismatchError(
                f"The model pack {settings.pack} is {self._pipeline.model.digest[:12]} on this node, not "
                f"{pack_digest[:12]}: install the same one on every node."
            )
        self._storage = open_storage(settings)
        self._io = ThreadPoolExecutor(IO_THREADS, thread_name_prefix="reembed-io")

    def process(self, rows: Sequence[TableRow]) -> list[ReembedResult]:
        """One result per row, in order."""
        results: list[ReembedResult] = []
        left = iter(rows)
        for pictures in read_chunks(self._io, self._read, rows):
            results += self._embed([row for _, row in islice(left, len(pictures))], pictures)
        return results

    def _read(self, row: TableRow) -> bytes | ReembedResult:
        table, pending = row
        try:
            return read_picture_sync(self._storage, table, pending.image_path)
        except (NotFoundError, BadInputError) as exc:
            # Adopted rows may have an address of another host, which is no key.
            return ReembedResult("missing", exc.message)
        except ImageTooLargeError as exc:
            return ReembedResult("too_large", exc.message)
        except SemblanceError as exc:
            return ReembedResult("failed", exc.message)

    def _embed(
        self, rows: Sequence[Pending], pictures: Sequence[bytes | ReembedResult]
    ) -> list[ReembedResult]:
        found = [
            picture if isinstance(picture, ReembedResult) else self._find(row, picture)
            for row, picture in zip(rows, pictures, strict=True)
        ]
        crops = [face.crops.aligned for face in found if isinstance(face, DetectedFace)]
        vectors = iter(self._pipeline.embed(crops))
        return [face if isinstance(face, ReembedResult) else _embedded(next(vectors)) for face in found]

    def _find(self, row: Pending, picture: bytes) -> DetectedFace | ReembedResult:
        """The face that the row is about, or why it cannot be had."""
        stored = stored_landmarks(row)
        outcome: ReembedOutcome = "no_face"
        try:
            # First as an upload does, which takes the largest: crops depend a little on how many are wanted.
            for wanted in (1, None):
                detection = self._pipeline.finder.detect(picture, wanted)
                for face in detection.faces:
                    if stored is None or is_same(stored, face.landmarks):
                        return face
                    outcome = "another_face"
                if detection.found == len(detection.faces):
                    break
        except ImageTooLargeError as exc:
            return ReembedResult("too_large", exc.message)
        except UnreadableImageError as exc:
            return ReembedResult("unreadable", exc.message)
        except Exception as exc:  # a fault nobody foresaw must not cost the others of the batch theirs
            _log.exception("embedding the picture %s", row.image_path)
            return ReembedResult("failed", f"{type(exc).__name__}: {exc}")
        return ReembedResult(outcome, MEANINGS[outcome])


def stored_landmarks(row: Pending) -> Landmarks | None:
    """float32 [68, 2], unless the row has none that can be read: other clients write rows, too."""
    try:
        landmarks = np.asarray(row.landmarks_68, np.float32)
    except (TypeError, ValueError):
        return None
    return landmarks if landmarks.shape == (68, 2) and np.isfinite(landmarks).all() else None


def is_same(stored: Landmarks, found: Landmarks) -> bool:
    """Whether two sets of landmarks in the same picture are of one face. The size of a face is the root of
    the area that its stored landmarks span."""
    size = float(np.sqrt(np.prod(np.ptp(stored, axis=0))))
    distance = float(np.linalg.norm(stored - found, axis=1).mean())
    return distance <= SAME_FACE * size


def _embedded(vector: Embedding) -> ReembedResult:
    if not np.isfinite(vector).all() or not vector.any():
        return ReembedResult("failed", "the pack's net gives no direction for this face")
    # A copy, because a row of an array takes the whole array with it through Ray.
    return ReembedResult("embedded", embedding=vector.copy())
