"""The worker of an ingestion: a batch of items in, one result for each out. Pictures stay here."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias
from uuid import UUID, uuid5

import cv2

from batch.ingest.fetch import fetch
from batch.ingest.known import KnownHashes
from batch.ingest.outcomes import IngestOutcome, IngestResult
from batch.ingest.sources import Item
from batch.read_ahead import IO_THREADS, read_chunks
from db.celebrities import CelebrityRow
from db.ingestions import STAGED
from deployments.faces.decoder import PATIENCE, DecoderProcess
from deployments.faces.pipeline import LocalPipeline
from semblance.errors import ImageTooLargeError, NotFoundError, SemblanceError, UnreadableImageError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.pictures import full_key, put_picture_sync
from semblance.tracing import begin
from semblance.types import AnalyzedFace, Detection

FOLDER = "celebrities"
"""Folder of the picture store."""

SEVERAL_FACES = 0.25
"""A second face counts if the area of its box is at least this share of the largest's, that is, at half its
width: a person next to the first, not one in the background."""

CELEBRITY_NAMESPACE = UUID("1b0f3b7e-6f0c-5c56-9d55-2f2f5d0f7a51")
"""Ids are the UUIDv5 of the picture's hash in this namespace, so the same pictures give the same rows in any
number of runs."""

NumberedItem: TypeAlias = tuple[int, Item]
"""An item and its place in the source's order."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IngestRules:
    """Which pictures are taken.

    min_quality: lowest overall quality, 0..1. largest: take the largest face, however large the second is.
    dry_run: store nothing. allow_private_hosts: accept URLs of hosts that are not on the public internet.
    """

    min_quality: float
    largest: bool
    dry_run: bool
    allow_private_hosts: bool = False


@dataclass(frozen=True, slots=True)
class _Picture:
    """A file that was read and that the database does not have."""

    index: int
    item: Item
    data: bytes
    image_hash: str


class IngestWorker:
    """Reads, analyses and stores pictures: an actor that holds the nets.

    A picture gives the same row in every worker and batch, as closely as batched and single runs of the
    pack's nets agree; that is checked when they are loaded.
    """

    def __init__(self, settings: Settings, rules: IngestRules) -> None:
        cv2.setNumThreads(settings.threads)
        self._settings = settings
        self._rules = rules
        self._pipeline = LocalPipeline(settings, DecoderProcess(settings, patience=PATIENCE))
        self._storage = open_storage(settings)
        self._io = ThreadPoolExecutor(IO_THREADS, thread_name_prefix="ingest-io")

    def process(self, items: Sequence[NumberedItem], known: KnownHashes) -> list[IngestResult]:
        """One result per item, in order. known: pictures that are only reported."""
        with begin("ingest pictures", pictures=len(items)):
            return self._process(items, known)

    def _process(self, items: Sequence[NumberedItem], known: KnownHashes) -> list[IngestResult]:
        futures: list[Future[IngestResult]] = []
        for read in read_chunks(self._io, partial(self._read, known), items):
            pictures = iter(self._results([entry for entry in read if isinstance(entry, _Picture)]))
            for entry in read:
                futures.append(next(pictures) if isinstance(entry, _Picture) else _done(entry))
        return [future.result() for future in futures]

    def _read(self, known: KnownHashes, numbered: NumberedItem) -> _Picture | IngestResult:
        index, item = numbered
        if item.image_hash is not None and item.image_hash in known:
            return IngestResult(index, "already_present", image_hash=item.image_hash)
        try:
            data = self._fetch(item.location)
        except NotFoundError as exc:
            return IngestResult(index, "missing", exc.message)
        except Exception as exc:
            # An unforeseen fault of one picture must not cost the others theirs.
            return IngestResult(index, _outcome(exc), _reason(exc))
        image_hash = item.image_hash or hashlib.md5(data, usedforsecurity=False).hexdigest()
        if image_hash in known:
            return IngestResult(index, "already_present", image_hash=image_hash)
        return _Picture(index, item, data, image_hash)

    def _fetch(self, location: str) -> bytes:
        if location.startswith(STAGED):
            # Its size was limited when it was uploaded.
            return self._storage.get_sync(location.removeprefix(STAGED))
        return fetch(
            location, self._settings.max_image_bytes, allow_private_hosts=self._rules.allow_private_hosts
        )

    def _results(self, pictures: Sequence[_Picture]) -> Iterator[Future[IngestResult]]:
        for picture, found in zip(pictures, self._analyzed(pictures), strict=True):
            if isinstance(found, Exception):
                outcome = _outcome(found)
                yield _done(IngestResult(picture.index, outcome, _reason(found), picture.image_hash))
                continue
            detection, faces = found
            rejected = self._rejection(picture.item, detection, faces)
            if rejected is not None:
                outcome, reason = rejected
                yield _done(IngestResult(picture.index, outcome, reason, picture.image_hash))
            else:
                yield self._io.submit(self._keep, picture, faces[0])

    def _analyzed(
        self, pictures: Sequence[_Picture]
    ) -> Sequence[tuple[Detection, list[AnalyzedFace]] | Exception]:
        """The two largest faces of each picture, or what went wrong with it."""
        files = [picture.data for picture in pictures]
        try:
            return self._pipeline.analyze_photos(files, 2)
        except Exception:
            # An unforeseen fault of one picture must not cost the others theirs.
            _log.exception("analyzing %d pictures together failed; trying each alone", len(files))
        return [self._analyzed_alone(data) for data in files]

    def _analyzed_alone(self, data: bytes) -> tuple[Detection, list[AnalyzedFace]] | Exception:
        try:
            return self._pipeline.analyze_photo(data, 2)
        except Exception as exc:  # the result of this picture
            return exc

    def _rejection(
        self, item: Item, detection: Detection, faces: Sequence[AnalyzedFace]
    ) -> tuple[IngestOutcome, str] | None:
        if not faces:
            return "no_face", f"no face was found in {detection.width} x {detection.height} pixels"
        largest = faces[0].detected.bbox.area
        if len(faces) > 1 and not self._rules.largest and item.accept is None:
            share = faces[1].detected.bbox.area / largest
            if share >= SEVERAL_FACES:
                return "several_faces", f"the second face has {share:.0%} of the area of the largest"
        quality = faces[0].attributes.quality
        if quality.overall < self._rules.min_quality and item.accept != "any":
            return "low_quality", (
                f"quality {quality.overall:.3f} is below {self._rules.min_quality:.3f} "
                f"(sharpness {quality.blur_score:.2f}, illumination {quality.illumination:.2f})"
            )
        return None

    def _keep(self, picture: _Picture, face: AnalyzedFace) -> IngestResult:
        """Store the picture, then return its row: a row never points to a missing picture."""
        key = full_key(f"{FOLDER}/{picture.image_hash[:2]}/{picture.image_hash}")
        try:
            stored = self._pipeline.finder.render(picture.data)
            if not self._rules.dry_run:
                put_picture_sync(self._storage, key, stored)
        except SemblanceError as exc:
            return IngestResult(picture.index, _outcome(exc), exc.message, picture.image_hash)
        row = celebrity_row(
            picture.item, picture.image_hash, key, face, self._pipeline.model.digest, scale=stored.scale
        )
        return IngestResult(picture.index, "ingested", image_hash=picture.image_hash, row=row)


def celebrity_row(
    item: Item, image_hash: str, key: str, face: AnalyzedFace, pack_digest: str, *, scale: float = 1.0
) -> CelebrityRow:
    """The row of a picture stored under `key`, at `scale` times the size that was analyzed."""
    return CelebrityRow.of(
        face,
        pack_digest,
        scale=scale,
        id=uuid5(CELEBRITY_NAMESPACE, image_hash),
        person_id=item.person,
        name=item.name,
        bio=item.bio,
        category=item.category,
        gender=item.gender,
        seen_gender=face.attributes.gender,
        image_path=key,
        image_hash=image_hash,
    )


def _outcome(error: Exception) -> IngestOutcome:
    if isinstance(error, ImageTooLargeError):
        return "too_large"
    return "unreadable" if isinstance(error, UnreadableImageError) else "failed"


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, SemblanceError) else f"{type(error).__name__}: {error}"


def _done(result: IngestResult) -> Future[IngestResult]:
    future: Future[IngestResult] = Future()
    future.set_result(result)
    return future
