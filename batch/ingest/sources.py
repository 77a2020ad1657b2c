"""The inputs of an ingestion: a folder by category, a manifest, or a bucket, listed in a fixed order.

Nothing here opens a picture. Two listings of the same source are equal, item by item, so an interrupted
ingestion that is started again has the same result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

from obstore.exceptions import BaseError

from batch.ingest.entries import SCHEME, BadEntry, Entry, Item
from batch.ingest.exclusions import Exclusions
from batch.ingest.files import open_regular
from batch.ingest.folders import METADATA_BYTES, METADATA_FILE, FoundFile, folder_entries, walk
from batch.ingest.manifests import MANIFESTS, read_manifest
from semblance.errors import SourceError
from semblance.sizes import byte_size
from semblance.storage.opening import local_path, open_bucket

__all__ = ["BadEntry", "Entry", "Item", "Listing", "list_source"]


@dataclass(frozen=True, slots=True)
class Listing:
    """The contents of a source.

    entries: in their fixed order. remarks: sentences about what was not used. excluded: how many files and
    folders were left out, by pattern.
    """

    entries: list[Entry]
    remarks: list[str] = field(default_factory=list)
    excluded: dict[str, int] = field(default_factory=dict)


def list_source(
    source: str,
    default_category: str | None = None,
    *,
    exclude: Sequence[str] = (),
    follow_links: bool = False,
    limit: int | None = None,
) -> Listing:
    """Every entry of a source: a folder or manifest by path or file:// URL, or either by s3:// URL.

    Folder: `<category>/<picture>` with an optional metadata.json, entries in the order of their paths,
    then those of metadata.json without a file. Manifest: CSV with a header, JSON lines or Parquet with
    the columns image, name, bio, category and gender, of which only image is required, in its own order.

    Args:
        default_category: Of pictures without a category.
        exclude: Glob patterns of what to leave out of a folder or bucket, in addition to DEFAULT_EXCLUDES.
        follow_links: Follow links out of a folder.
        limit: Take only the first entries.

    Raises SourceError if the source cannot be read, is malformed as a whole, or is empty.
    """
    lister = _Lister(
        default_category, Exclusions(exclude), sifts=bool(exclude), follow_links=follow_links, limit=limit
    )
    if SCHEME.match(source) and urlsplit(source).scheme != "file":
        if urlsplit(source).scheme != "s3":
            raise SourceError(f"{source} is not a source: give a folder, a manifest or s3://bucket/prefix.")
        listing = lister.from_bucket(source.rstrip("/"))
    else:
        path = local_path(source) if SCHEME.match(source) else Path(source)
        listing = lister.from_disk(path.expanduser().absolute())
    if not listing.entries:
        left_out = sum(listing.excluded.values())
        but = f" but {left_out:,} files or folders that patterns leave out" if left_out else ""
        raise SourceError(f"{source} holds no pictures{but}: nothing to ingest.")
    return replace(listing, entries=listing.entries[:limit])


@dataclass(frozen=True, slots=True)
class _Lister:
    """Lists one source. sifts: whether patterns were given, which are an error with a manifest."""

    default_category: str | None
    exclusions: Exclusions
    sifts: bool
    follow_links: bool
    limit: int | None

    def from_disk(self, path: Path) -> Listing:
        try:
            if path.is_dir():
                found = list(walk(path, self.exclusions, follow_links=self.follow_links))
                metadata = None
                if FoundFile(METADATA_FILE) in found:
                    with open_regular(path / METADATA_FILE) as file:
                        metadata = file.read(METADATA_BYTES + 1)
                return self._folder(f"{path}/", found, metadata)
            if _is_manifest(path.name):
                with open_regular(path) as file:
                    return self._manifest(file, f"{path.parent}/", path.name)
            kinds = ", ".join(MANIFESTS)
            raise SourceError(
                f"{path} is neither a folder nor a manifest ({kinds})."
                if path.exists()
                else f"There is no folder or manifest {path}."
            )
        except FileNotFoundError as exc:
            raise SourceError(f"There is no folder or manifest {path}.") from exc
        except OSError as exc:
            raise SourceError(f"{exc.filename or path} cannot be read: {exc.strerror or exc}.") from exc

    def from_bucket(self, url: str) -> Listing:
        base, _, name = url.rpartition("/")
        try:
            # The name of a bucket may also end like that of a manifest.
            if _is_manifest(name) and not base.endswith("/"):
                # Through a file: a manifest may be larger than memory, and Parquet is read from its end.
                with tempfile.TemporaryFile() as file:
                    for chunk in open_bucket(base).get(name).stream():
                        file.write(chunk)
                    file.seek(0)
                    return self._manifest(file, f"{base}/", name)
            bucket = open_bucket(url)
            listed = [(meta["path"], meta["size"]) for chunk in bucket.list() for meta in chunk]
            found = [
                FoundFile(path)
                for path, size in listed
                if not _is_marker(path, size) and not self.exclusions.leaves_out(path)
            ]
            metadata = None
            if FoundFile(METADATA_FILE) in found:
                metadata = bytes(bucket.get_range(METADATA_FILE, start=0, length=METADATA_BYTES + 1))
        except (BaseError, OSError) as exc:
            raise SourceError(f"{url} cannot be read: {str(exc).partition(chr(10))[0]}") from exc
        return self._folder(f"{url}/", found, metadata)

    def _manifest(self, file: BinaryIO, base: str, name: str) -> Listing:
        if self.sifts:
            raise SourceError("--exclude is for folders and buckets; a manifest names its pictures itself.")
        suffix = PurePosixPath(name).suffix.lower()
        return Listing(*read_manifest(file, suffix, base, name, self.default_category, limit=self.limit))

    def _folder(self, base: str, found: Iterable[FoundFile | BadEntry], metadata: bytes | None) -> Listing:
        if metadata is not None and len(metadata) > METADATA_BYTES:
            raise SourceError(
                f"{base}{METADATA_FILE} is larger than {byte_size(METADATA_BYTES)}; "
                "write a manifest (.jsonl)."
            )
        pictures = [each for each in found if each != FoundFile(METADATA_FILE)]
        entries, remarks = folder_entries(base, pictures, metadata, self.default_category, self.exclusions)
        return Listing(entries, remarks, dict(self.exclusions.counts))


def _is_manifest(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in MANIFESTS


def _is_marker(path: str, size: int) -> bool:
    """Whether it is one of the empty objects by which consoles mark a folder."""
    return size == 0 and not PurePosixPath(path).suffix
