"""Every error the project raises on purpose.

Each class names the `code` that a client can branch on, and whether a later attempt may succeed. The HTTP
status of each is in `serve_app.api.errors`. All arguments go positionally to `super().__init__`: an exception
that crosses a Ray boundary is rebuilt from `args`, and one that cannot be rebuilt arrives as an unreadable
wrapper.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar


class SemblanceError(Exception):
    """Base of all errors. The message is a sentence for a person and names the fix if there is one."""

    code: ClassVar[str] = "internal_error"

    retryable: ClassVar[bool] = True
    """Whether the same work may succeed later. False if the request itself must change."""

    public: ClassVar[str | None] = "Something went wrong on our side; the request id finds it in the log."
    """What clients are told instead of the message, which is for operators and may name paths, addresses and
    statements. None if the message itself is written for clients."""

    retry_after: int | None = None
    """Seconds after which the same request may succeed, if that is known."""

    def __init__(self, message: str, *args: object) -> None:
        super().__init__(message, *args)

    @property
    def message(self) -> str:
        return str(self.args[0])

    @property
    def answer(self) -> str:
        """The sentence for a client."""
        return self.message if self.public is None else self.public

    @property
    def details(self) -> dict[str, object]:
        """Fields of an answer in addition to error and code."""
        return {}

    def __str__(self) -> str:
        return self.message


class RequestError(SemblanceError):
    """Base of the errors that the request causes. The message is about the client's own request."""

    code = "bad_request"
    retryable = False
    public = None


class TryLaterError(SemblanceError):
    """Base of the errors that pass by themselves: try again after `retry_after` seconds."""

    code = "try_later"
    public = None

    def __init__(self, message: str, retry_after: int = 1, *args: object) -> None:
        super().__init__(message, retry_after, *args)
        self.retry_after = retry_after


# What a request holds


class BadInputError(RequestError):
    """The request is understood but its content cannot be used."""

    code = "bad_input"


class NoFaceError(BadInputError):
    """The photo was read and shows no face."""

    code = "no_face"

    def __init__(self, message: str = "No face detected in image") -> None:
        super().__init__(message)

    @property
    def details(self) -> dict[str, object]:
        return {"face_detected": False}


class SeveralFacesError(BadInputError):
    """The photo shows more than one face, and only one is allowed."""

    code = "several_faces"


class DuplicatePictureError(BadInputError):
    """The user has uploaded the same file before."""

    code = "duplicate_picture"

    def __init__(self, message: str = "This photo has already been uploaded.") -> None:
        super().__init__(message)


class UnreadableImageError(RequestError):
    """The bytes are not an image, of an unsupported format, or damaged."""

    code = "unreadable_image"


class ImageTooCostlyError(UnreadableImageError):
    """Decoding takes longer or more memory than one image may, or makes the decoder fail."""

    code = "image_too_costly"


class ImageTooLargeError(RequestError):
    """The image exceeds the limit in bytes, pixels or proportions; found before anything is decoded."""

    code = "image_too_large"


class BodyTooLargeError(ImageTooLargeError):
    """The request as a whole exceeds the limit in bytes."""


class EncodedBodyError(RequestError):
    """The request's body is compressed, which no route accepts."""

    code = "encoded_body"


class SlowBodyError(RequestError):
    """The request's body arrives more slowly than the lowest accepted rate."""

    code = "slow_body"
    retryable = True
    retry_after = 5


class IncompleteBodyError(RequestError):
    """The connection ended before the request's body was complete."""

    code = "incomplete_body"
    retryable = True
    retry_after = 5


class IdempotencyKeyReusedError(RequestError):
    """The Idempotency-Key belongs to a request with another content."""

    code = "idempotency_key_reused"


# Who sends it


class UnauthorizedError(RequestError):
    """The credentials are missing or not valid."""

    code = "unauthorized"


class ForbiddenError(RequestError):
    """The credentials are valid and do not allow this."""

    code = "forbidden"


class BlockedAccountError(ForbiddenError):
    """Operators have blocked the account."""

    code = "account_blocked"

    def __init__(
        self, message: str = "This account is blocked. Ask the people who run this service about it."
    ) -> None:
        super().__init__(message)


class EmailNotAllowedError(ForbiddenError):
    """The account's e-mail address may not sign up here."""

    code = "email_not_allowed"


class QuotaExceededError(RequestError):
    """A user's limit of the day is used up.

    Args:
        kind: what is limited.
        limit: how often it is allowed a day.
        current: how often it was done today.
        resets_at: the next UTC midnight.
        retry_after: seconds until then.
    """

    code = "quota_exceeded"
    retryable = True

    def __init__(  # noqa: PLR0917 - rebuilt from `args`
        self, message: str, kind: str, limit: int, current: int, resets_at: datetime, retry_after: int
    ) -> None:
        super().__init__(message, kind, limit, current, resets_at, retry_after)
        self.kind = kind
        self.limit = limit
        self.current = current
        self.resets_at = resets_at
        self.retry_after = retry_after

    @property
    def details(self) -> dict[str, object]:
        return {
            "message": f"{self.current} of {self.limit} used today; the count restarts at midnight UTC.",
            "limit": self.limit,
            "current": self.current,
            "resetAt": self.resets_at.isoformat(),
            "type": self.kind,
        }


class TooManyConnectionsError(TryLaterError):
    """A user holds as many connections as allowed."""

    code = "too_many_connections"


class BusyClientError(TryLaterError):
    """A client has as many requests in progress as allowed."""

    code = "too_many_requests"


# What it finds


class NotFoundError(RequestError):
    code = "not_found"


class ConflictError(RequestError):
    code = "conflict"


class EmailTakenError(ConflictError):
    """Another profile has the account's e-mail address already."""

    code = "email_taken"


class SchoolTakenError(ConflictError):
    """A name or domain belongs to another school already.

    Args:
        name: the name or domain.
        school_id: the school that has it.
        school: that school's name.
    """

    code = "school_taken"

    def __init__(self, message: str, name: str, school_id: str, school: str) -> None:
        super().__init__(message, name, school_id, school)
        self.name = name
        self.school_id = school_id
        self.school = school

    @property
    def details(self) -> dict[str, object]:
        return {"name": self.name, "school_id": self.school_id, "school": self.school}


class RequestInProgressError(ConflictError):
    """A request with the same Idempotency-Key is in progress."""

    code = "request_in_progress"
    retryable = True
    retry_after = 5


class PackMismatchError(RequestError):
    """Stored embeddings come from another model pack; comparing them would be meaningless."""

    code = "pack_mismatch"


# The service and its parts


class OverloadedError(TryLaterError):
    """There are more requests than the queues hold."""

    code = "overloaded"


class NotReadyError(OverloadedError):
    """The service is starting, or a part that the answer needs is down."""

    code = "not_ready"


class ServiceNotReadyError(NotReadyError):
    """Some of the parts that `/ready` asks do not answer; `checks` says which and why."""

    def __init__(self, message: str, retry_after: int, checks: dict[str, str]) -> None:
        super().__init__(message, retry_after, checks)
        self.checks = checks

    @property
    def details(self) -> dict[str, object]:
        return {"checks": self.checks}


class ConfigurationError(SemblanceError):
    """A setting, file or installation is wrong; the message names it and the fix."""

    code = "configuration"
    public = "The service is not set up correctly; the request id finds what is wrong in its log."


class PackError(ConfigurationError):
    """A model pack is missing, damaged or not permitted."""

    code = "model_pack"


class DatabaseError(SemblanceError):
    """The database refused or could not be reached; wraps the driver's error."""

    code = "database"
    public = "The database does not answer at the moment; try again soon."


class QueryError(DatabaseError):
    """The database was reached and refused the statement: a broken constraint, or a mistake of ours."""

    code = "database_query"
    public = "Something went wrong on our side; the request id finds it in the log."


class ReferenceGoneError(QueryError):
    """What a new row refers to, such as its user, was deleted while the request ran. Nothing was stored."""

    code = "not_found"
    public = "What this belongs to has just been deleted."


class DatabaseReadOnlyError(DatabaseError):
    """The database takes no writes: a standby, or one that an operator has closed."""

    code = "database_read_only"
    public = "Nothing can be changed at the moment, because the database is read-only; try again soon."
    retry_after = 10


class DatabaseFullError(DatabaseError):
    """The database's disk is full."""

    code = "database_full"
    public = "Nothing can be stored at the moment, because the database is full; try again later."
    retry_after = 60


class StorageError(SemblanceError):
    """The picture store refused or could not be reached; wraps the store's error."""

    code = "storage"
    public = "Pictures can be neither stored nor read at the moment; try again soon."


class StorageReadOnlyError(StorageError):
    """The picture store can be read but not written."""

    code = "storage_read_only"
    public = "No pictures can be stored or removed at the moment, because their store is read-only."
    retry_after = 10


class StorageFullError(StorageError):
    """The picture store is full."""

    code = "storage_full"
    public = "No pictures can be stored at the moment, because their store is full; try again later."
    retry_after = 60


class IdentityProviderError(SemblanceError):
    """The keys of users' access tokens cannot be fetched."""

    code = "identity_provider"
    public = None


class BabyProviderError(SemblanceError):
    """The provider of baby pictures failed.

    Args:
        reason: for operators; names no secret.
        attempts: requests that were sent, at least 1.
    """

    code = "baby_provider"
    public = None

    def __init__(self, message: str, reason: str, attempts: int = 1) -> None:
        super().__init__(message, reason, attempts)
        self.reason = reason
        self.attempts = attempts


class TextProviderBusyError(TryLaterError):
    """The provider of texts cannot be reached, is busy, or its answer broke off. tokens: in and out that it
    has used, as far as that is known."""

    code = "text_provider"
    tokens: tuple[int, int] = (0, 0)

    def __init__(self, message: str, retry_after: int = 0) -> None:
        super().__init__(message, retry_after)


class TextRefusedError(RequestError):
    """A text cannot be written, or may not be shown; no further attempt would change that. tokens: in and out
    that it has used, as far as that is known."""

    code = "text_refused"
    tokens: tuple[int, int] = (0, 0)


# What an operator runs


class StackFailedError(ConfigurationError):
    """The stack did not start, or ended by itself; the message has the reason and the log's last lines."""


class AlreadyAdoptedError(ConflictError):
    """An earlier run has completed the adoption of this database."""


class SourceError(ConfigurationError):
    """The source of an ingestion does not exist, cannot be read or holds nothing."""

    code = "source"


class WorkersError(SemblanceError):
    """The workers of a Ray job could not start or were lost."""

    code = "workers"


class QdrantError(SemblanceError):
    """The Qdrant collection cannot be read."""

    code = "qdrant"


class RayJobLostError(SemblanceError):
    """A Ray job is no longer followed: the service was stopped, or Ray was restarted or does not answer."""

    code = "job_lost"


class RayRefusedError(SemblanceError):
    """Ray answers and does not do what it is asked."""

    code = "ray_refused"


class RayUnreachableError(SemblanceError):
    """Ray does not answer, though the service runs or ran a moment ago."""

    code = "ray_unreachable"
