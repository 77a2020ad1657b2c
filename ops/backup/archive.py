"""The folder of backups: what lies where, and how it is sealed.

    FOLDER/2026-11-27T170512Z/manifest.json         what the backup holds; written last
    FOLDER/2026-11-27T170512Z/database/faces.gz     the rows of a table, as COPY writes them
    FOLDER/2026-11-27T170512Z/pictures.gz           a line of JSON for each picture
    FOLDER/2026-11-27T170512Z/pictures.names        its files below pictures/, shared by all backups
    FOLDER/2026-11-27T170512Z/keys/, settings.gz
    FOLDER/pictures/3f/3f80c5…                      a picture
    FOLDER/lock                                     held while a backup is made

All else in the folder belongs to others and stays. A backup without a manifest was interrupted. With
recipients every file but the manifest and the names is sealed by age (https://age-encryption.org), so that
`age --decrypt` opens it without this program too.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

import pyrage
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from semblance.errors import BadInputError, ConfigurationError, StorageError
from semblance.files import open_regular, sync_folder, write_file
from semblance.lock import ProcessLock

MANIFEST: Final = "manifest.json"
PICTURES: Final = "pictures.gz"
NAMES: Final = "pictures.names"
SETTINGS: Final = "settings.gz"
FORMAT: Final = 1

MOST_SMALL: Final = 64 * 1024 * 1024
"""Bytes of the longest file that is read at once: the manifest, a key, a picture if the settings allow none
larger."""

DIGEST: Final = ".sha256"
"""Ends the name of the file beside a picture that holds the digest of its content."""

_POOL: Final = "pictures"
_LOCK: Final = "lock"
_STAMP: Final = "%Y-%m-%dT%H%M%SZ"
_POOLED: Final = re.compile(rf"[0-9a-f]{{64}}({re.escape(DIGEST)})?")
_BEGUN: Final = re.compile(rf"\.{_POOLED.pattern}\.\w+")
"""What `write_file` leaves of a file of the pool if it is killed."""


def _as_file_name(name: str) -> str:
    if name in {"", ".."} or "\0" in name or Path(name).name != name:
        raise ValueError("not the name of a file")
    return name


_FileName = Annotated[str, AfterValidator(_as_file_name)]
"""A name of which a restoration makes a path. A backup may have been where others could change it, and must
not lead out of its own folder and the home."""


class BackedUpTable(BaseModel):
    """A table's rows. columns: in the order of the file. sha256: of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: list[str]
    rows: int
    sha256: str


class BackupManifest(BaseModel):
    """What a backup holds. revision: of the schema. pictures: how many. sequences: last value, and whether it
    was given out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    semblance: str
    created_at: datetime
    revision: str
    sealed: bool
    tables: dict[_FileName, BackedUpTable]
    sequences: dict[str, tuple[int, bool]]
    pictures: int
    pictures_sha256: str
    keys: list[_FileName]


class Sealer:
    """Writes files for recipients, so that only they can read them; without any, files stay as they are.

    Raises BadInputError for a text that is not the public key of an age identity.
    """

    def __init__(self, recipients: Sequence[str]) -> None:
        try:
            self._recipients = [pyrage.x25519.Recipient.from_str(text) for text in recipients]
        except pyrage.RecipientError as exc:
            raise BadInputError("A recipient is the public key that `age-keygen` prints: age1….") from exc
        self.readers = sorted({str(recipient) for recipient in self._recipients})
        """The recipients, in an order that is always the same. Nobody but them can read what is sealed."""

    @property
    def seals(self) -> bool:
        return bool(self._recipients)

    def seal(self, data: bytes) -> bytes:
        """The bytes of a small file."""
        return pyrage.encrypt(data, self._recipients) if self._recipients else data

    @contextmanager
    def packed(self, target: Path, scratch: Path) -> Iterator[gzip.GzipFile]:
        """Compresses what is written, and seals it into `target`. What is not sealed yet is in an unnamed
        file in `scratch`."""
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=scratch) as plain:
            with gzip.GzipFile(fileobj=plain, mode="wb", compresslevel=1, mtime=0) as packing:
                yield packing
            plain.seek(0)
            with target.open("xb") as file:
                target.chmod(0o600)
                if self._recipients:
                    with _crypting(pyrage.EncryptError, target):
                        pyrage.encrypt_io(plain, file, self._recipients)
                else:
                    shutil.copyfileobj(plain, file)
                file.flush()
                os.fsync(file.fileno())
        sync_folder(target.parent)


class Opener:
    """Reads files that were sealed for the identities in a file, or that were not sealed.

    Raises BadInputError for a file without identities.
    """

    def __init__(self, identity_file: Path | None) -> None:
        self._identities = []
        if identity_file is None:
            return
        try:
            lines = identity_file.read_text(encoding="utf-8").splitlines()
            keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
            self._identities = [pyrage.x25519.Identity.from_str(key) for key in keys]
        except (OSError, UnicodeDecodeError, pyrage.IdentityError) as exc:
            raise BadInputError(f"{identity_file} is not the file that `age-keygen` wrote.") from exc
        if not self._identities:
            raise BadInputError(f"{identity_file} holds no identity.")

    @property
    def opens(self) -> bool:
        """Whether an identity was given."""
        return bool(self._identities)

    def open(self, data: bytes, *, sealed: bool) -> bytes:
        """The bytes of a small file. Raises BadInputError if they were sealed for others or are damaged."""
        if not sealed:
            return data
        with _opening():
            return pyrage.decrypt(data, self._identities)

    @contextmanager
    def unpacked(self, source: Path, scratch: Path, *, sealed: bool) -> Iterator[gzip.GzipFile]:
        """The content of a packed file. Raises BadInputError as `open` does, and if the file is missing or
        ends early, also while it is read."""
        with tempfile.TemporaryFile(dir=scratch) as plain:
            with _reading(source), open_regular(source) as file:
                if sealed:
                    with _opening(), _crypting(pyrage.DecryptError, scratch):
                        pyrage.decrypt_io(file, plain, self._identities)
                else:
                    shutil.copyfileobj(file, plain)
            plain.seek(0)
            with _reading(source), gzip.GzipFile(fileobj=plain, mode="rb") as unpacking:
                yield unpacking


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, gzip.BadGzipFile, EOFError, zlib.error) as exc:
        raise BadInputError(f"{source} is missing or damaged. Restore another backup.") from exc


@contextmanager
def _crypting(error: type[Exception], target: Path) -> Iterator[None]:
    """pyrage has one error for a file that cannot be opened and for a disk that is full."""
    try:
        yield
    except error as exc:
        if "OSError" in str(exc):
            raise StorageError(f"{target} cannot be written: {exc}") from exc
        raise


@contextmanager
def _opening() -> Iterator[None]:
    try:
        yield
    except pyrage.DecryptError as exc:
        raise BadInputError(
            "This backup is sealed, and the identity does not open it. Name the file with the private key of "
            "one of its recipients: --identity FILE."
        ) from exc


def read_small(file: Path, most: int = MOST_SMALL) -> bytes:
    """The content of a file of a backup that is read at once, `most` bytes at the most.

    Raises FileNotFoundError, and BadInputError for one that is longer or no regular file: others may have
    changed it to exhaust this process or to keep it waiting.
    """
    try:
        with open_regular(file) as opened:
            data = opened.read(most + 1)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise BadInputError(f"{file} cannot be read: {exc.strerror}.") from exc
    if len(data) > most:
        raise BadInputError(f"{file} has more than {most:,} bytes, which no such file of a backup has.")
    return data


class Archive:
    """A folder of backups."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """The complete backups, oldest first."""
        return sorted(folder.name for folder in self._backups() if (folder / MANIFEST).exists())

    def _backups(self) -> list[Path]:
        """The folders of backups, complete or not."""
        return [
            file
            for file in self.folder.glob("*")
            if _moment(file.name) is not None and file.is_dir() and not file.is_symlink()
        ]

    @contextmanager
    def held(self) -> Iterator[None]:
        """One process at a time changes the folder: a second one would take what the first has written so far
        for the rest of an interrupted backup.

        Raises ConfigurationError if another process does, or if the folder cannot be made.
        """
        lock = ProcessLock(self.folder / _LOCK)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not lock.acquire():
                raise ConfigurationError(f"Another backup into {self.folder} is running. Try again later.")
        except OSError as exc:
            raise self._unusable(exc) from exc
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def begin(self) -> Iterator[Path]:
        """A folder for a new backup, whose name sorts after all others; it is removed again if the backup
        fails. What killed ones have left is removed. Called while the folder is held.

        Raises ConfigurationError if the folder cannot be made.
        """
        moment = datetime.now(UTC)
        if (names := self.names()) and (latest := _moment(names[-1])) is not None:
            # The clock may have been ahead. The newest backup must stay the last by name, which is the one
            # that is restored, and not the first to be removed.
            moment = max(moment, latest + timedelta(seconds=1))
        backup = self.folder / moment.strftime(_STAMP)
        try:
            for folder in self._backups():
                if not (folder / MANIFEST).exists():
                    shutil.rmtree(folder)
            backup.mkdir(mode=0o700)
        except OSError as exc:
            raise self._unusable(exc) from exc
        try:
            yield backup
        except BaseException:
            # Its space may be what the disk lacks. What cannot be removed now is removed by the next backup.
            shutil.rmtree(backup, ignore_errors=True)
            raise

    def _unusable(self, exc: OSError) -> ConfigurationError:
        return ConfigurationError(f"{self.folder} cannot be used: {exc.strerror}.")

    def end(self, backup: Path, manifest: BackupManifest) -> None:
        """Complete a backup."""
        write_file(backup / MANIFEST, manifest.model_dump_json(indent=1))

    def manifest(self, name: str) -> BackupManifest:
        """What a backup holds. Raises BadInputError if there is no such backup, or it is damaged or of
        a newer version."""
        try:
            return BackupManifest.model_validate_json(read_small(self.folder / name / MANIFEST))
        except FileNotFoundError as exc:
            found = ", ".join(self.names()) or "none"
            raise BadInputError(f"{self.folder} has no backup {name}. Complete backups: {found}.") from exc
        except ValidationError as exc:
            raise BadInputError(
                f"{self.folder / name / MANIFEST} is damaged, or of a newer version of Semblance."
            ) from exc

    def picture(self, name: str) -> Path:
        """Where a picture is, by its name in the pool."""
        return self.folder / _POOL / name[:2] / name

    def prune(self, keep: int) -> list[str]:
        """Remove all backups but the latest `keep`, and pictures that no backup names; returns their
        names. Called while the folder is held."""
        names = self.names()
        removed = names[:-keep]
        for name in removed:
            # Without its manifest it is no backup, however far this gets.
            (self.folder / name / MANIFEST).unlink()
            shutil.rmtree(self.folder / name)
        named = {
            line
            for name in self.names()
            for line in (self.folder / name / NAMES).read_text(encoding="ascii").split()
        }
        for file in (self.folder / _POOL).glob("??/*"):
            is_unused = _POOLED.fullmatch(file.name) and file.name.removesuffix(DIGEST) not in named
            if is_unused or _BEGUN.fullmatch(file.name):
                file.unlink()
        return removed


def _moment(name: str) -> datetime | None:
    """When a backup of this name began; None for a name that `Archive.begin` does not give."""
    try:
        moment = datetime.strptime(name, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment if moment.strftime(_STAMP) == name else None
