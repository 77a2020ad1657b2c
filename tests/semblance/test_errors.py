"""Errors cross process boundaries whole, and say one status and code each."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest

from semblance import errors
from semblance.errors import (
    BabyProviderError,
    DuplicatePictureError,
    NoFaceError,
    OverloadedError,
    QuotaExceededError,
    SchoolTakenError,
    SemblanceError,
    ServiceNotReadyError,
)

CLASSES = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, SemblanceError)
]

SPECIAL: dict[type[SemblanceError], tuple[object, ...]] = {
    NoFaceError: (),
    DuplicatePictureError: (),
    QuotaExceededError: ("enough", "photo_upload", 5, 5, datetime(2026, 1, 2, tzinfo=UTC), 60),
    OverloadedError: ("full", 7),
    SchoolTakenError: ("MIT is taken", "MIT", "7f0f7a5e-6d4f-4c35-9d1c-0c6f4b8d1a11", "Massachusetts"),
    BabyProviderError: ("no picture", "fal answered 500", 4),
    ServiceNotReadyError: ("not ready", 2, {"database": "failed: gone"}),
}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_error_survives_pickling(cls: type[SemblanceError]) -> None:
    error = cls(*SPECIAL.get(cls, ("what happened and how to mend it",)))  # type: ignore[arg-type]
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is cls
    assert (copy.message, copy.code, copy.status) == (error.message, error.code, error.status)
    assert copy.details == error.details
    assert vars(copy) == vars(error)


def test_every_class_has_a_status_of_the_contract() -> None:
    statuses = {400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503}
    assert all(cls.status in statuses for cls in CLASSES)
    assert all(cls.code == cls.code.lower() and " " not in cls.code for cls in CLASSES)
