"""What the API sends to the detector."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PhotoToSearch:
    """An encoded photo whose faces are wanted, at most `max_faces` of them, None for as many as the settings
    allow. counted: as in `FaceFinder.detect`. request_id: of the HTTP request that it is for, "-" for none.
    is_alone: the sender had no other photo in work, so that cores are likely to be free.
    """

    data: bytes
    max_faces: int | None
    counted: bool
    request_id: str
    is_alone: bool
