"""Every error the project raises on purpose.

Each class names the `code` a client can branch on and the HTTP `status` that fits it. All arguments
go positionally to `super().__init__`: an exception that crosses a Ray boundary is rebuilt from
`args`, and one that cannot be rebuilt arrives as an unreadable wrapper.
"""

from __future__ import annotations

from typing import ClassVar


class SemblanceError(Exception):
    """Base of all errors. The message is a sentence for a person and names the fix where there is one."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *args: object) -> None:
        super().__init__(message, *args)

    @property
    def message(self) -> str:
        return str(self.args[0])

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


class NoFaceError(BadInputError):
    """The picture was read and holds no face."""

    code = "no_face"

    def __init__(self, message: str = "No face detected in image") -> None:
        super().__init__(message)

    @property
    def details(self) -> dict[str, object]:
        return {"face_detected": False}


class UnreadableImageError(SemblanceError):
    """The bytes are no picture, of a format not supported, or damaged."""

    code = "unreadable_image"
    status = 415


class ImageTooLargeError(SemblanceError):
    """The picture exceeds the limit in bytes or pixels; found before anything is decoded."""

    code = "image_too_large"
    status = 413


class UnauthorizedError(SemblanceError):
    """No credentials, or credentials that are not valid."""

    code = "unauthorized"
    status = 401


class ForbiddenError(SemblanceError):
    """Valid credentials that do not reach this far."""

    code = "forbidden"
    status = 403


class NotFoundError(SemblanceError):
    code = "not_found"
    status = 404


class ConflictError(SemblanceError):
    code = "conflict"
    status = 409


class OverloadedError(SemblanceError):
    """More requests than the queues hold; try again after `retry_after` seconds."""

    code = "overloaded"
    status = 503

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


class PackError(ConfigurationError):
    """A model pack is missing, damaged or not permitted."""

    code = "model_pack"


class DatabaseError(SemblanceError):
    """The database refused or could not be reached; wraps the driver's error."""

    code = "database"
    status = 503


class QueryError(DatabaseError):
    """The database was reached and refused the statement: a broken constraint, or a mistake of ours."""

    code = "database_query"
    status = 500


class StorageError(SemblanceError):
    """The picture store refused or could not be reached; wraps the store's error."""

    code = "storage"
    status = 503


class PackMismatchError(SemblanceError):
    """Stored embeddings come from another model pack; comparing them would be meaningless."""

    code = "pack_mismatch"
    status = 409
