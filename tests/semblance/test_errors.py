"""Errors cross process boundaries unchanged, and say what a client or a worker may do."""

from __future__ import annotations

import pickle
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import batch
import db
import deployments
import matching
import ops
import semblance
import serve_app
from semblance import errors
from semblance.errors import (
    BabyProviderError,
    DuplicatePictureError,
    IncompleteBodyError,
    NoFaceError,
    OverloadedError,
    QuotaExceededError,
    RequestError,
    RequestInProgressError,
    SchoolTakenError,
    SemblanceError,
    ServiceNotReadyError,
    SlowBodyError,
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
    assert (copy.message, copy.code, copy.answer) == (error.message, error.code, error.answer)
    assert copy.details == error.details
    assert vars(copy) == vars(error)


def test_codes_are_words_that_a_program_can_branch_on() -> None:
    assert all(cls.code == cls.code.lower() and " " not in cls.code for cls in CLASSES)


def test_every_error_of_the_project_is_declared_here() -> None:
    for package in (semblance, db, matching, deployments, batch, serve_app, ops):
        for path in Path(package.__path__[0]).rglob("*.py"):
            bases = re.findall(r"^class \w+\((\w+Error)\):", path.read_text(encoding="utf-8"), re.MULTILINE)
            declares = any(hasattr(errors, base) for base in bases)
            assert declares == (path == Path(errors.__file__)), path


def test_a_request_that_must_change_is_not_tried_again() -> None:
    passing = {cls for cls in CLASSES if issubclass(cls, RequestError) and cls.retryable}
    assert passing == {
        SlowBodyError, IncompleteBodyError, QuotaExceededError, RequestInProgressError,
    }  # fmt: skip
    assert all(cls.retryable for cls in CLASSES if not issubclass(cls, RequestError))
