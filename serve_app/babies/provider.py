"""What makes a baby picture out of the faces of two parents."""

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
    """data: a whole JPEG file. attempts: requests that it took, at least 1."""

    data: bytes
    attempts: int = 1


class BabyProvider(Protocol):
    """Makes pictures; safe to be called many times at once."""

    @property
    def name(self) -> str:
        """As `generation_logs` calls it."""

    @property
    def model(self) -> str:
        """Which of its models, as `generation_logs` calls it."""

    async def generate(self, a: ParentFace, b: ParentFace) -> GeneratedPicture:
        """A child of the two.

        Raises BabyProviderError where none could be made, ConflictError where a parent's photo is gone or
        cannot be read, StorageError.
        """

    async def close(self) -> None:
        """Give back connections; nothing is called afterwards."""


async def read_photo(storage: Storage, parent: ParentFace) -> bytes:
    """The parent's photo as stored. Raises ConflictError where it is gone, StorageError."""
    try:
        return await read_picture(storage, "faces", parent.image_path)
    except (NotFoundError, BadInputError, ImageTooLargeError) as exc:
        # Bad input: rows of the old system may hold an address of another host in place of a key.
        raise ConflictError(GONE) from exc
