"""The worker of an ingestion: a batch of items in, one result for each out; pictures stay here."""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID, uuid5

import cv2
import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from batch.ingest.fetch import fetch
from batch.ingest.outcomes import Outcome, Result
from batch.ingest.sources import Item
from db.celebrities import CelebrityRow
from deployments.faces.decoder import DecoderProcess
from deployments.faces.pipeline import LocalPipeline
from semblance.errors import ImageTooLargeError, NotFoundError, SemblanceError, UnreadableImageError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.pictures import full_key, put_picture_sync
from semblance.types import DescribedFace, Detection

FOLDER = "celebrities"
"""Of the storage, where the pictures go."""

CHUNK = 8
"""Pictures described together: the nets after the detector gain by a batch of 8 (a third of their time),
hardly beyond, and the next chunk is read meanwhile."""

IO_THREADS = 8
"""Pictures read or stored at a time by one worker; they wait for a disk or bucket more than for a core."""

SEVERAL_FACES = 0.25
"""A second face counts when its box has at least this share of the largest's area, that is half its
width: someone beside the person, not someone in the background."""

CELEBRITY_NAMESPACE = UUID("1b0f3b7e-6f0c-5c56-9d55-2f2f5d0f7a51")
"""Ids are the UUIDv5 of the picture's hash in this namespace, so that the same pictures give the same
rows whenever and in however many runs they are ingested."""

_SCHEMA = pa.schema([("result", pa.binary())])

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """Which pictures are taken.

    min_quality: lowest overall quality, 0..1. largest: take the largest face however large the second is.
    dry_run: store nothing. allow_private_hosts: also from URLs of hosts off the public internet.
    """

    min_quality: float
    largest: bool
    dry_run: bool
    allow_private_hosts: bool = False


@dataclass(frozen=True, slots=True)
class _Picture:
    """A file that was read and is not known yet."""

    index: int
    item: Item
    data: bytes
    image_hash: str


class Describer:
    """Reads, describes and stores pictures: an actor of the ingestion's pool, holding its own nets.

    Described faces of the same picture are the same whichever worker and batch they fall into, up to
    the equality of batched and single runs that a pack's nets prove when they are loaded.
    """

    def __init__(self, settings: Settings, rules: Rules, known: ray.ObjectRef[NDArray[np.bytes_]]) -> None:
        """known: reference to the sorted hashes in the database, bytes_ [N] of 32 hex digits."""
        cv2.setNumThreads(settings.threads)
        self._settings = settings
        self._rules = rules
        self._known = ray.get(known)
        self._pipeline = LocalPipeline(settings, DecoderProcess(settings))
        self._storage = open_storage(settings)
        self._io = ThreadPoolExecutor(IO_THREADS, thread_name_prefix="ingest-io")

    def __call__(self, batch: pa.Table) -> pa.Table:
        """index int64 and item (pickled) to one pickled Result per row, in order."""
        items = zip(batch["index"].to_pylist(), map(pickle.loads, batch["item"].to_pylist()), strict=True)
        results = self.describe(list(items))
        return pa.table({"result": [pickle.dumps(result) for result in results]}, schema=_SCHEMA)

    def describe(self, items: Sequence[tuple[int, Item]]) -> list[Result]:
        """One result per item, in order."""
        reads = [self._io.submit(self._read, index, item) for index, item in items]
        futures: list[Future[Result]] = []
        for start in range(0, len(reads), CHUNK):
            read = [future.result() for future in reads[start : start + CHUNK]]
            # A reference kept here would hold every picture of the batch until its end.
            reads[start : start + CHUNK] = [None] * len(read)  # type: ignore[list-item]
            pictures = iter(self._results([entry for entry in read if isinstance(entry, _Picture)]))
            for entry in read:
                futures.append(next(pictures) if isinstance(entry, _Picture) else _done(entry))
        return [future.result() for future in futures]

    def _read(self, index: int, item: Item) -> _Picture | Result:
        try:
            data = fetch(
                item.location,
                self._settings.max_image_bytes,
                allow_private_hosts=self._rules.allow_private_hosts,
            )
        except NotFoundError as exc:
            return Result(index, "missing", exc.message)
        except Exception as exc:
            # A fault nobody foresaw, in one of them: the others must not suffer for it.
            return Result(index, _outcome(exc), _reason(exc))
        image_hash = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if self._is_known(image_hash):
            return Result(index, "already_present", image_hash=image_hash)
        return _Picture(index, item, data, image_hash)

    def _is_known(self, image_hash: str) -> bool:
        key = np.bytes_(image_hash.encode())
        place = int(np.searchsorted(self._known, key))
        return place < len(self._known) and bool(self._known[place] == key)

    def _results(self, pictures: Sequence[_Picture]) -> Iterator[Future[Result]]:
        for picture, found in zip(pictures, self._described(pictures), strict=True):
            if isinstance(found, Exception):
                outcome = _outcome(found)
                yield _done(Result(picture.index, outcome, _reason(found), picture.image_hash))
                continue
            detection, faces = found
            rejected = self._rejection(detection, faces)
            if rejected is not None:
                outcome, reason = rejected
                yield _done(Result(picture.index, outcome, reason, picture.image_hash))
            else:
                yield self._io.submit(self._keep, picture, faces[0])

    def _described(
        self, pictures: Sequence[_Picture]
    ) -> Sequence[tuple[Detection, list[DescribedFace]] | Exception]:
        """Faces of each picture, the two largest; or what went wrong with it."""
        files = [picture.data for picture in pictures]
        try:
            return self._pipeline.describe_many(files, 2)
        except Exception:
            # A fault nobody foresaw, in one of them: the others must not suffer for it.
            _log.exception("describing %d pictures together failed; trying each alone", len(files))
        return [self._described_alone(data) for data in files]

    def _described_alone(self, data: bytes) -> tuple[Detection, list[DescribedFace]] | Exception:
        try:
            return self._pipeline.describe(data, 2)
        except Exception as exc:  # reported as this picture's result
            return exc

    def _rejection(self, detection: Detection, faces: Sequence[DescribedFace]) -> tuple[Outcome, str] | None:
        if not faces:
            return "no_face", f"no face was found in {detection.width} x {detection.height} pixels"
        largest = faces[0].detected.bbox.area
        if len(faces) > 1 and not self._rules.largest:
            share = faces[1].detected.bbox.area / largest
            if share >= SEVERAL_FACES:
                return "several_faces", f"the second face has {share:.0%} of the area of the largest"
        quality = faces[0].attributes.quality
        if quality.overall < self._rules.min_quality:
            return "low_quality", (
                f"quality {quality.overall:.3f} is below {self._rules.min_quality:.3f} "
                f"(sharpness {quality.blur_score:.2f}, illumination {quality.illumination:.2f})"
            )
        return None

    def _keep(self, picture: _Picture, face: DescribedFace) -> Result:
        """Store the picture, then hand over its row: a row never points to a picture that is not there."""
        key = full_key(f"{FOLDER}/{picture.image_hash[:2]}/{picture.image_hash}")
        try:
            stored = self._pipeline.finder.render(picture.data)
            if not self._rules.dry_run:
                put_picture_sync(self._storage, key, stored)
        except SemblanceError as exc:
            return Result(picture.index, _outcome(exc), exc.message, picture.image_hash)
        row = celebrity_row(
            picture.item, picture.image_hash, key, face, self._pipeline.model.digest, scale=stored.scale
        )
        return Result(picture.index, "ingested", image_hash=picture.image_hash, row=row)


def celebrity_row(
    item: Item, image_hash: str, key: str, face: DescribedFace, pack_digest: str, *, scale: float = 1.0
) -> CelebrityRow:
    """The row of a described picture stored under `key`, `scale` times as large."""
    return CelebrityRow.of(
        face,
        pack_digest,
        scale=scale,
        id=uuid5(CELEBRITY_NAMESPACE, image_hash),
        name=item.name,
        bio=item.bio,
        category=item.category,
        gender=item.gender,
        seen_gender=face.attributes.gender,
        image_path=key,
        image_hash=image_hash,
    )


def _outcome(error: Exception) -> Outcome:
    if isinstance(error, ImageTooLargeError):
        return "too_large"
    return "unreadable" if isinstance(error, UnreadableImageError) else "failed"


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, SemblanceError) else f"{type(error).__name__}: {error}"


def _done(result: Result) -> Future[Result]:
    future: Future[Result] = Future()
    future.set_result(result)
    return future
