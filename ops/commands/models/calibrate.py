"""`semblance models calibrate`."""

from __future__ import annotations

import hashlib
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.markup import escape

from batch.ingest.entries import BadEntry
from batch.ingest.exclusions import Exclusions
from batch.ingest.folders import walk
from deployments.packs.calibration import CALIBRATION_FILE, calibrate
from deployments.packs.registry import describe_pack
from ops.commands.models.calibration_table import calibration_table
from ops.commands.models.csv_rows import read_csv
from ops.commands.models.photo_files import LeftOut, embed_files, open_pipeline
from ops.commands.output import console
from semblance.errors import BadInputError, ConfigurationError
from semblance.files import write_file
from semblance.settings import Settings

GROUP_COLUMNS = {
    "folder": ("folder", "person", "name", "identity"),
    "group": ("group",),
}


def calibrate_model(
    settings: Settings, folder: Path, *, groups: Path | None, source: str | None, output: Path | None
) -> None:
    """Write a calibration and print it. Raises BadInputError if the photos do not suffice."""
    pack = describe_pack(settings)
    target = output or pack.folder / CALIBRATION_FILE
    left_out = LeftOut()
    files = _photos(folder, left_out)
    group_of = {} if groups is None else _groups(groups, {person for person, _ in files})
    _check_writable(target)
    pipeline = open_pipeline(settings)
    people: list[str] = []
    embeddings: list[np.ndarray] = []
    paths = [path for _, path in files]
    embedded = embed_files(pipeline, settings, paths, "calibrate")
    for (person, _), (path, result) in zip(files, embedded, strict=True):
        if isinstance(result, str):
            left_out.add(result, str(path.relative_to(folder)))
        else:
            people.append(person)
            embeddings.append(result)
    calibration = calibrate(
        np.array(embeddings, np.float32),
        people,
        manifest=pack.manifest,
        source=source or f"the photos of {folder.name}",
        groups=group_of,
    )
    try:
        write_file(target, calibration.model_dump_json(indent=1) + "\n")
        target.chmod(0o644)  # It names nobody, and the service, perhaps another account, reads it.
    except OSError as exc:
        raise _not_writable(target, exc) from exc
    if left_out.names:
        console.print(left_out.table())
    console.print(calibration_table(calibration))
    console.print(f"Written to {escape(str(target))}. The service reads it when it starts.", soft_wrap=True)


def _check_writable(target: Path) -> None:
    """Raise ConfigurationError now if `write_file` would fail after hours of work."""
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as exc:
        raise _not_writable(target, exc) from exc


def _not_writable(target: Path, exc: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"The calibration cannot be written to {target}: {exc.strerror}. Name another file with "
        "--output, and in SEMBLANCE_CALIBRATION where the service runs."
    )


def _photos(folder: Path, left_out: LeftOut) -> list[tuple[str, Path]]:
    """The person and the file of each photo, without duplicates."""
    photos: list[tuple[str, Path]] = []
    seen: set[bytes] = set()
    outside: list[str] = []
    found = sorted(walk(folder, Exclusions(), follow_links=True), key=lambda each: each.label)
    for each in found:
        if isinstance(each, BadEntry):
            left_out.add("duplicate" if each.outcome == "duplicate" else "missing", each.label)
        elif "/" not in each.path:
            outside.append(each.path)
        elif (digest := _digest(folder / each.path)) is not None and digest in seen:
            left_out.add("duplicate", each.label)
        else:
            seen |= {digest} if digest is not None else set()
            photos.append((each.path.split("/")[0], folder / each.path))
    if not photos:
        raise BadInputError(
            f"{folder} contains no folder with photos. Make a folder for each person: "
            f"{folder.name}/ada/1.jpg, {folder.name}/ada/2.jpg, {folder.name}/bob/1.jpg."
        )
    if outside:
        console.print(
            f"[yellow]![/] {len(outside)} files outside these folders were ignored: whom do they show?"
        )
    return photos


def _digest(file: Path) -> bytes | None:
    """The SHA-256 of a file; None if it cannot be read, which is reported when the photo is read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        return None


def _groups(file: Path, people: set[str]) -> dict[str, str]:
    rows = read_csv(file, GROUP_COLUMNS, ("folder", "group"))
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for _, cells in rows:
        if cells["group"]:
            groups[cells["folder"]].add(cells["group"])
    several = sorted(folder for folder, names in groups.items() if len(names) > 1)
    if several:
        raise BadInputError(
            f"{file.name} puts {several[0]!r} into several groups. A person may be in one group only."
        )
    unknown = sorted(set(groups) - people)
    if unknown:
        console.print(
            f"[yellow]![/] {len(unknown)} folders of {file.name} have no photos: {escape(unknown[0])} …"
        )
    return {folder: next(iter(names)) for folder, names in groups.items() if folder in people}
