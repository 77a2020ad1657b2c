"""The worker of a re-embedding: rows in, embeddings by another pack out. Pictures stay here."""

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
from deployments.faces.decoder import PATIENCE, DecoderProcess
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
from semblance.storage.opening import open_storage
from semblance.storage.pictures import read_picture_sync
from semblance.tracing import begin
from semblance.types import DetectedFace, Embedding, Landmarks

ReembedOutcome: TypeAlias = Literal[
    "embedded", "missing", "no_face", "another_face", "unreadable", "too_large", "failed"
]

OUTCOMES: tuple[ReembedOutcome, ...] = get_args(ReembedOutcome)

MEANINGS: dict[ReembedOutcome, str] = {
    "embedded": "now has a spare embedding",
    "missing": "its picture is not in the picture store",
    "no_face": "the pack finds no face in its picture",
    "another_face": "the pack finds faces, but none where the stored one is",
    "unreadable": "its picture is damaged",
    "too_large": "its picture is over the limit of bytes or pixels",
    "failed": "not the picture's fault; run the same command again",
}

SAME_FACE = 0.5
"""Largest mean distance of two packs' 68 landmarks on the same face, as a share of the face's size. Two nets
differ by a few hundredths on one face; two faces are at least their size apart."""

TableRow: TypeAlias = tuple[Table, Pending]
"""A row and the table it is in."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReembedResult:
    """The result of one row: its embedding, float32 [512] of unit length, or the reason why it has none."""

    outcome: ReembedOutcome
    reason: str = ""
    embedding: Embedding | None = None


class ReembedWorker:
    """Reads stored pictures and embeds the stored face of each: an actor that holds the nets of one pack.

    A picture gets the embedding that its upload with this pack would get, in every worker and batch, as
    closely as batched and single runs of the pack's nets agree; that is checked when they are loaded.
    """

    def __init__(self, settings: Settings, pack_digest: str) -> None:
        """settings: with the pack to embed by. Raises PackMismatchError if this node has another version of
        it."""
        cv2.setNumThreads(settings.threads)
        self._pipeline = LocalPipeline(settings, DecoderProcess(settings, patience=PATIENCE))
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
        with begin("embed pictures", pictures=len(rows)):
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
        """The face of the row, or the reason why it was not found."""
        stored = stored_landmarks(row)
        outcome: ReembedOutcome = "no_face"
        try:
            # First the largest alone, as for an upload: crops depend slightly on how many are asked for.
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
        except Exception as exc:  # an unforeseen fault must not cost the rest of the batch theirs
            _log.exception("embedding the picture %s", row.image_path)
            return ReembedResult("failed", f"{type(exc).__name__}: {exc}")
        return ReembedResult(outcome, MEANINGS[outcome])


def stored_landmarks(row: Pending) -> Landmarks | None:
    """float32 [68, 2]; None if the row has no valid ones, since other clients also write rows."""
    try:
        landmarks = np.asarray(row.landmarks_68, np.float32)
    except (TypeError, ValueError):
        return None
    return landmarks if landmarks.shape == (68, 2) and np.isfinite(landmarks).all() else None


def is_same(stored: Landmarks, found: Landmarks) -> bool:
    """Whether two sets of landmarks in one picture are of the same face. The size of a face is the square
    root of the area that its stored landmarks span."""
    size = float(np.sqrt(np.prod(np.ptp(stored, axis=0))))
    distance = float(np.linalg.norm(stored - found, axis=1).mean())
    return distance <= SAME_FACE * size


def _embedded(vector: Embedding) -> ReembedResult:
    if not np.isfinite(vector).all() or not vector.any():
        return ReembedResult("failed", "the pack's net gives no valid embedding for this face")
    # A copy: a row of an array would take the whole array through Ray.
    return ReembedResult("embedded", embedding=vector.copy())
