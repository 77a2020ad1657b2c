"""Providers of baby pictures, which make one from the faces of two parents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from db.babies import ParentFace
from semblance.errors import BadInputError, ConflictError, ImageTooLargeError, NotFoundError
from semblance.storage.pictures import read_picture
from semblance.storage.store import Storage

NO_PICTURE = "No baby picture could be made right now; try again later."
GONE = "The photo of one of the two faces cannot be used any more."


@dataclass(frozen=True, slots=True)
class GeneratedPicture:
    """data: a JPEG file. attempts: requests that it took, at least 1."""

    data: bytes
    attempts: int = 1


class BabyProvider(Protocol):
    """Makes pictures; safe for concurrent calls."""

    @property
    def name(self) -> str:
        """The provider's name in `generation_logs`."""

    @property
    def model(self) -> str:
        """The model's name in `generation_logs`."""

    async def generate(self, a: ParentFace, b: ParentFace) -> GeneratedPicture:
        """A picture of a child of the two.

        Raises BabyProviderError if it could not be made, ConflictError if a parent's photo is gone or cannot
        be read, StorageError.
        """

    async def close(self) -> None:
        """Close connections; nothing is called afterwards."""


async def read_photo(storage: Storage, parent: ParentFace) -> bytes:
    """The parent's stored photo. Raises ConflictError if it is gone, StorageError."""
    try:
        return await read_picture(storage, "faces", parent.image_path)
    except (NotFoundError, BadInputError, ImageTooLargeError) as exc:
        # BadInputError: adopted rows may hold the URL of another host instead of a key.
        raise ConflictError(GONE) from exc
