"""From a request to a stored baby picture: nothing is stored or counted unless all of it succeeds."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final
from uuid import UUID

from db.babies import Baby, Claim, NewBaby, ParentFace
from db.repositories import Repositories
from deployments.clients import FaceClient
from deployments.faces.decoder import Decoder
from deployments.vision.stored_picture import render
from semblance.errors import (
    BabyProviderError,
    SemblanceError,
)
from semblance.metrics import PROVIDER_SECONDS
from semblance.settings import Settings
from semblance.storage.pictures import StoredPicture, full_key
from semblance.storage.store import Storage
from serve_app.babies.fal import FalProvider
from serve_app.babies.local import LocalProvider
from serve_app.babies.provider import BabyProvider, GeneratedPicture
from serve_app.limits import Client, FairShare
from serve_app.picture_rows import PictureRows

logger = logging.getLogger(__name__)

MAX_INFLIGHT: Final = 32
"""Most pictures that one replica makes at a time; more are refused with 503, or 429 for too many of one
user."""

_CLOSE_SECONDS: Final = 15.0
"""How long a replica that ends waits for pictures in progress; Serve gives it 20 s."""


class BabyMaker:
    """Makes and stores baby pictures with one provider."""

    def __init__(
        self,
        provider: BabyProvider,
        storage: Storage,
        repositories: Repositories,
        settings: Settings,
        *,
        decoder: Decoder,
    ) -> None:
        """decoder: opens the provider's pictures."""
        self._provider = provider
        self._decoder = decoder
        self._babies = repositories.babies
        self._logs = repositories.generation_logs
        self._pictures = PictureRows(storage, repositories.object_deletions)
        self._slots = FairShare(MAX_INFLIGHT, settings.client_share, what="Too many baby pictures")
        self._running: set[asyncio.Task[Baby]] = set()

    async def make(self, profile_id: UUID, match_id: UUID, key: str | None) -> Baby:
        """A new baby picture of one of the user's matches, or the one that was made before with the same key.

        A client that leaves does not stop the work: the picture is paid for, and a repeated request with the
        same key finds it.

        Raises NotFoundError, ForbiddenError, QuotaExceededError, BabyProviderError, ConflictError if a
        parent's photo is gone, RequestInProgressError, IdempotencyKeyReusedError, BusyClientError,
        OverloadedError, DatabaseError, StorageError. After any of these nothing is counted.
        """
        task = asyncio.create_task(self._answer(profile_id, match_id, key))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait a little for pictures in progress, cancel the rest, and close the provider."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._provider.close()

    async def _answer(self, profile_id: UUID, match_id: UUID, key: str | None) -> Baby:
        with self._slots.held(Client("user", str(profile_id))):
            # First, so that a key cannot reveal other users' matches.
            parents = await self._babies.parents(match_id, profile_id=profile_id)
            if key is None:
                return await self._make(profile_id, match_id, parents, None)
            claim = await self._babies.claim(profile_id, key, match_id)
            if isinstance(claim, Baby):
                return claim
            try:
                return await self._make(profile_id, match_id, parents, claim)
            except BaseException:
                await _best_effort(self._babies.release(claim))
                raise

    async def _make(
        self, profile_id: UUID, match_id: UUID, parents: tuple[ParentFace, ParentFace], claim: Claim | None
    ) -> Baby:
        provider = self._provider
        log_id = await self._logs.start(profile_id, match_id, provider=provider.name, model=provider.model)
        started = time.monotonic()
        try:
            picture = await provider.generate(*parents)
        except BaseException as exc:
            duration = timedelta(seconds=time.monotonic() - started)
            PROVIDER_SECONDS.observe(duration.total_seconds(), provider=provider.name, outcome="failed")
            attempts = exc.attempts if isinstance(exc, BabyProviderError) else 1
            reason = exc.reason if isinstance(exc, BabyProviderError) else type(exc).__name__
            logger.warning("%s made no baby picture: %s", provider.name, reason)
            await _best_effort(
                self._logs.finish(log_id, "failed", attempts=attempts, duration=duration, error=reason)
            )
            raise
        duration = timedelta(seconds=time.monotonic() - started)
        PROVIDER_SECONDS.observe(duration.total_seconds(), provider=provider.name, outcome="completed")
        baby_id = uuid.uuid4()
        new = NewBaby(
            id=baby_id,
            match_id=match_id,
            profile_id=profile_id,
            image_path=full_key(f"babies/{baby_id}"),
            log_id=log_id,
            attempts=picture.attempts,
            duration=duration,
            claim=claim,
        )
        try:
            return await self._store(new, picture)
        except BaseException as exc:
            reason = f"made, but not stored: {type(exc).__name__}"
            await _best_effort(
                self._logs.finish(
                    log_id, "completed", attempts=picture.attempts, duration=duration, error=reason
                )
            )
            raise

    async def _store(self, new: NewBaby, picture: GeneratedPicture) -> Baby:
        stored = await asyncio.to_thread(self._render, picture)
        return await self._pictures.add(new.image_path, stored, lambda: self._babies.add(new))

    def _render(self, picture: GeneratedPicture) -> StoredPicture:
        with self._decoder.open(picture.data) as opened:
            return render(opened)


def open_baby_maker(
    settings: Settings, storage: Storage, faces: FaceClient, repositories: Repositories, decoder: Decoder
) -> BabyMaker:
    """The maker with the provider of the settings. Raises ConfigurationError for fal without a key.

    decoder: opens the provider's pictures and the parents' photos, which may be stored as strangers sent
    them.
    """
    fal = settings.baby_provider == "fal" or (
        settings.baby_provider == "auto" and settings.fal_api_key is not None
    )
    provider: BabyProvider = (
        FalProvider(storage, settings, decoder) if fal else LocalProvider(storage, faces, decoder)
    )
    return BabyMaker(provider, storage, repositories, settings, decoder=decoder)


async def _best_effort(work: Awaitable[None]) -> None:
    """Tidy up after a failure, whose own exception matters more. What stays behind expires: a log row, a
    claim, and by the sweep the picture."""
    try:
        await work
    except SemblanceError as exc:
        logger.warning("left to be tidied up later: %s", exc.message)
