"""Every error that can reach a client has a status of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import pytest

from semblance.errors import (
    ConfigurationError,
    DatabaseError,
    ImageTooCostlyError,
    NoFaceError,
    NotReadyError,
    OverloadedError,
    QueryError,
    ReferenceGoneError,
    SemblanceError,
    StorageFullError,
)
from serve_app.api.errors import STATUSES, status_of

CONTRACT = {400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503}

OPERATORS = {"QdrantError", "RayJobLostError", "RayRefusedError", "RayUnreachableError", "WorkersError"}
"""Errors of commands and Ray jobs, which no request can raise."""


def subclasses(cls: type[SemblanceError]) -> Iterator[type[SemblanceError]]:
    for child in cls.__subclasses__():
        yield child
        yield from subclasses(child)


def has_status(cls: type[SemblanceError]) -> bool:
    """For a class that only serves as a base: whether all derived classes have one."""
    listed = cls.__name__ in OPERATORS or any(base in STATUSES for base in cls.__mro__)
    derived = cls.__subclasses__()
    return listed or (bool(derived) and all(map(has_status, derived)))


CLASSES = sorted(set(subclasses(SemblanceError)), key=lambda cls: cls.__qualname__)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__qualname__)
def test_class_or_a_base_of_it_is_listed(cls: type[SemblanceError]) -> None:
    assert has_status(cls)


def test_statuses_are_those_of_the_contract() -> None:
    assert {int(status) for status in STATUSES.values()} == CONTRACT


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NoFaceError(), 400),
        (ImageTooCostlyError("The picture takes too long."), 422),
        (QueryError("a constraint"), 500),
        (ReferenceGoneError("a foreign key"), 404),
        (StorageFullError("no room"), 503),
        (NotReadyError("starting"), 503),
        (SemblanceError("a mistake"), 500),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nearest_listed_class_decides(error: SemblanceError, status: int) -> None:
    assert status_of(error) == HTTPStatus(status)


def test_message_of_a_failure_of_ours_stays_inside() -> None:
    assert DatabaseError("10.0.0.7 refused the password").answer == DatabaseError.public
    assert ConfigurationError("/etc/secret is missing").answer == ConfigurationError.public
    assert NoFaceError("No face here").answer == "No face here"
    assert OverloadedError("Try again soon.").answer == "Try again soon."
