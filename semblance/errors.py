"""Every error the project raises on purpose.

Each class names the `code` a client can branch on and the HTTP `status` that fits it. All arguments
go positionally to `super().__init__`: an exception that crosses a Ray boundary is rebuilt from
`args`, and one that cannot be rebuilt arrives as an unreadable wrapper.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar


class SemblanceError(Exception):
    """Base of all errors. The message is a sentence for a person and names the fix where there is one."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    retryable: ClassVar[bool] = True
    """Whether a later attempt may succeed. False if the input itself is wrong."""

    public: ClassVar[str | None] = "Something went wrong on our side; the request id finds it in the log."
    """What clients are told in place of the message of a 5xx, which is for operators and may name paths,
    addresses and statements. None where the message itself is written for clients."""

    retry_after: int | None = None
    """Seconds after which the same request may succeed, where that is known."""

    def __init__(self, message: str, *args: object) -> None:
        super().__init__(message, *args)

    @property
    def message(self) -> str:
        return str(self.args[0])

    @property
    def answer(self) -> str:
        """The sentence for a client. The message of a 4xx is about the client's own request."""
        return self.message if self.status < 500 or self.public is None else self.public

    @property
    def details(self) -> dict[str, object]:
        """Fields an answer carries beside error and code."""
        return {}

    def __str__(self) -> str:
        return self.message


class BadInputError(SemblanceError):
    """The request is understood but its content cannot be used."""

    code = "bad_input"
    status = 400
    retryable = False


class NoFaceError(BadInputError):
    """The picture was read and holds no face."""

    code = "no_face"

    def __init__(self, message: str = "No face detected in image") -> None:
        super().__init__(message)

    @property
    def details(self) -> dict[str, object]:
        return {"face_detected": False}


class SeveralFacesError(BadInputError):
    """The picture holds more than one face, where that is refused."""

    code = "several_faces"


class DuplicatePictureError(BadInputError):
    """The user has uploaded the same file before."""

    code = "duplicate_picture"

    def __init__(self, message: str = "This photo has already been uploaded.") -> None:
        super().__init__(message)


class UnreadableImageError(SemblanceError):
    """The bytes are no picture, of a format not supported, or damaged."""

    code = "unreadable_image"
    status = 415
    retryable = False


class ImageTooCostlyError(UnreadableImageError):
    """Decoding the picture takes longer or more memory than one picture may, or makes the decoder fail."""

    code = "image_too_costly"
    status = 422
    retryable = False


class ImageTooLargeError(SemblanceError):
    """The picture exceeds the limit in bytes, pixels or proportions; found before anything is decoded."""

    code = "image_too_large"
    status = 413
    retryable = False


class BodyTooLargeError(ImageTooLargeError):
    """The request as a whole exceeds what is read."""


class EncodedBodyError(SemblanceError):
    """The request's body is compressed, which no route takes."""

    code = "encoded_body"
    status = 415
    retryable = False


class SlowBodyError(SemblanceError):
    """The request's body arrives at less than the least rate."""

    code = "slow_body"
    status = 408
    retry_after = 5


class UnauthorizedError(SemblanceError):
    """No credentials, or credentials that are not valid."""

    code = "unauthorized"
    status = 401
    retryable = False


class ForbiddenError(SemblanceError):
    """Valid credentials that do not reach this far."""

    code = "forbidden"
    status = 403
    retryable = False


class EmailNotAllowedError(ForbiddenError):
    """The account's e-mail address may not sign up here."""

    code = "email_not_allowed"


class NotFoundError(SemblanceError):
    code = "not_found"
    status = 404
    retryable = False


class ConflictError(SemblanceError):
    code = "conflict"
    status = 409
    retryable = False


class EmailTakenError(ConflictError):
    """Another profile has the account's e-mail address already."""

    code = "email_taken"


class SchoolTakenError(ConflictError):
    """A name or domain belongs to another school already.

    name: the one that does. school_id, school: what it belongs to.
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
    """A request with the same Idempotency-Key is being worked on."""

    code = "request_in_progress"
    retry_after = 5


class IdempotencyKeyReusedError(SemblanceError):
    """The Idempotency-Key belongs to a request with another content."""

    code = "idempotency_key_reused"
    status = 422
    retryable = False


class QuotaExceededError(SemblanceError):
    """A user's limit of the day is used up.

    kind: what is limited. limit: how often a day. current: how often so far. resets_at: the next UTC
    midnight. retry_after: seconds until then.
    """

    code = "quota_exceeded"
    status = 429

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
            "message": f"{self.current} of {self.limit} used today; the count begins anew at midnight UTC.",
            "limit": self.limit,
            "current": self.current,
            "resetAt": self.resets_at.isoformat(),
            "type": self.kind,
        }


class OverloadedError(SemblanceError):
    """More requests than the queues hold; try again after `retry_after` seconds."""

    code = "overloaded"
    status = 503
    public = None

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after


class TooManyConnectionsError(SemblanceError):
    """A user holds as many connections as one may; try again after `retry_after` seconds."""

    code = "too_many_connections"
    status = 429

    def __init__(self, message: str, retry_after: int = 30) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after


class BusyClientError(SemblanceError):
    """A client has as much in hand as one may; try again after `retry_after` seconds."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after


class NotReadyError(OverloadedError):
    """Starting, or a part the answer needs is down."""

    code = "not_ready"


class ServiceNotReadyError(NotReadyError):
    """Some of the parts that `/ready` asks do not answer; `checks` says which and why."""

    def __init__(self, message: str, retry_after: int, checks: dict[str, str]) -> None:
        SemblanceError.__init__(self, message, retry_after, checks)
        self.retry_after = retry_after
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
    status = 503
    public = "The database does not answer at the moment; try again soon."


class QueryError(DatabaseError):
    """The database was reached and refused the statement: a broken constraint, or a mistake of ours."""

    code = "database_query"
    status = 500
    public = "Something went wrong on our side; the request id finds it in the log."


class DatabaseReadOnlyError(DatabaseError):
    """The database takes no writes: a standby, or one that an operator has closed."""

    code = "database_read_only"
    public = "Nothing can be changed at the moment, because the database is read-only; try again soon."
    retry_after = 10


class DatabaseFullError(DatabaseError):
    """The database has no room on its disk."""

    code = "database_full"
    public = "Nothing can be stored at the moment, because the database is full; try again later."
    retry_after = 60


class IdentityProviderError(SemblanceError):
    """The keys of users' access tokens cannot be had."""

    code = "identity_provider"
    status = 503
    public = None


class BabyProviderError(SemblanceError):
    """Whoever makes baby pictures failed.

    reason: for operators; names no secret. attempts: requests that were sent, at least 1.
    """

    code = "baby_provider"
    status = 502
    public = None

    def __init__(self, message: str, reason: str, attempts: int = 1) -> None:
        super().__init__(message, reason, attempts)
        self.reason = reason
        self.attempts = attempts


class StorageError(SemblanceError):
    """The picture store refused or could not be reached; wraps the store's error."""

    code = "storage"
    status = 503
    public = "Pictures can be neither stored nor read at the moment; try again soon."


class StorageReadOnlyError(StorageError):
    """The picture store may be read and not written."""

    code = "storage_read_only"
    public = "No pictures can be stored or removed at the moment, because their store is read-only."
    retry_after = 10


class StorageFullError(StorageError):
    """The picture store has no room left."""

    code = "storage_full"
    public = "No pictures can be stored at the moment, because their store is full; try again later."
    retry_after = 60


class PackMismatchError(SemblanceError):
    """Stored embeddings come from another model pack; comparing them would be meaningless."""

    code = "pack_mismatch"
    status = 409
    retryable = False
