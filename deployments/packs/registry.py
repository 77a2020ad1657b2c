"""Finds model packs by name or path, checks licence and files, and opens them. Never uses the network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from deployments.packs.calibration import CALIBRATION_FILE, Calibration, SimilarityScale, read_calibration
from deployments.packs.manifest import MANIFEST_FILE, Manifest, has_manifest, read_manifest
from deployments.packs.nets import ModelPack
from deployments.packs.pack import OPEN_FOLDER, LoadedPack
from semblance.errors import PackError
from semblance.settings import Settings

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class PackDescription:
    """Everything about a verified pack that is known without running it.

    commercial_use: whether its licence permits that. borrowed: the roles that the open pack plays for it.
    """

    folder: Path
    manifest: Manifest
    commercial_use: bool
    borrowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackEntry:
    """A pack that settings can name: its description, or the problem that prevents loading it."""

    name: str
    folder: Path
    description: PackDescription | None
    problem: str | None


def load_pack(settings: Settings) -> ModelPack:
    """The pack that the settings name, with every file verified and its licence agreed to. Its methods build
    the nets.

    Raises PackError if it is missing, damaged, invalid or not permitted.
    """
    pack = describe_pack(settings)
    pack.manifest.check_licence(settings, commercial_use=pack.commercial_use, default="SEMBLANCE_PACK=open")
    if pack.manifest.decoder == "insightface":
        # Importing insightface takes a second, which the open pack does not need.
        from deployments.packs.insightface_pack import InsightFacePack  # noqa: PLC0415

        return InsightFacePack(pack.folder, pack.manifest, settings)
    return LoadedPack(pack.folder, pack.manifest, settings)


def load_scale(settings: Settings, pack: ModelPack) -> SimilarityScale:
    """What the similarities of the pack that the settings name mean. Raises as `load_calibration`."""
    return SimilarityScale(pack.threshold, pack.info.digest, load_calibration(settings, pack.info.digest))


def load_calibration(settings: Settings, digest: str) -> Calibration | None:
    """The calibration that the settings name, or else the one in the folder of their pack. The latter is not
    used, and the result is None, if it was made for another version of the pack.

    Args:
        digest: of the pack that the settings name.

    Raises PackError if a calibration is damaged, or if the one that the settings name is for another pack.
    """
    calibration = _read_calibration(settings)
    if calibration is None or calibration.digest == digest:
        return calibration
    if settings.calibration is not None:
        raise PackError(
            f"The calibration {settings.calibration} was made for {calibration.pack} {calibration.version}, "
            f"not for the pack {settings.pack} as it is installed. Make one with `semblance models "
            "calibrate`, or unset SEMBLANCE_CALIBRATION."
        )
    return None


def has_stale_calibration(settings: Settings, digest: str) -> bool:
    """Whether the pack's folder has a calibration for another version. Raises as `load_calibration`."""
    return load_calibration(settings, digest) is None and _read_calibration(settings) is not None


def _read_calibration(settings: Settings) -> Calibration | None:
    file = settings.calibration or find_pack(settings.pack, settings) / CALIBRATION_FILE
    return read_calibration(file) if settings.calibration or file.is_file() else None


def describe_pack(settings: Settings) -> PackDescription:
    """Describe the pack that the settings name, with every file verified. Its licence need not be agreed to.

    Raises PackError if it is missing, damaged or invalid.
    """
    return _describe(find_pack(settings.pack, settings))


def list_packs(settings: Settings) -> list[PackEntry]:
    """All packs that settings can name, verified, in the order of the places searched. Of several with one
    name the first one loads."""
    entries: dict[str, PackEntry] = {}
    for place in _places(settings):
        for folder in sorted(path for path in place.glob("*") if _is_pack(path)):
            if folder.name in entries:
                continue
            try:
                entries[folder.name] = PackEntry(folder.name, folder, _describe(folder), None)
            except PackError as exc:
                entries[folder.name] = PackEntry(folder.name, folder, None, exc.message)
    return list(entries.values())


def find_pack(pack: str, settings: Settings) -> Path:
    """The folder of a pack given by name, or by a path (anything with a slash or a leading dot or ~).

    Raises PackError with the places searched and how to install it.
    """
    if "/" in pack or pack.startswith((".", "~")):
        folders = [Path(pack).expanduser()]
    else:
        folders = [place / pack for place in _places(settings)]
    for folder in folders:
        # Some release archives contain a folder of the same name, so unpacking nests it.
        for candidate in (folder, folder / folder.name):
            if _is_pack(candidate):
                return candidate.resolve()
    raise PackError(
        f"Model pack {pack!r} was not found: no {MANIFEST_FILE} and no .onnx files in "
        f"{', '.join(str(folder.absolute()) for folder in folders)}. Packs are never downloaded: for an "
        "InsightFace pack, get its archive from the releases of the InsightFace project on GitHub and unpack "
        f"its .onnx files into {folders[0].absolute()}, or set SEMBLANCE_PACK_DIR to the folder that holds "
        "your packs."
    )


def is_digest(pack: str) -> bool:
    """Whether this is a pack's digest, not its name."""
    return _DIGEST.fullmatch(pack) is not None


def find_digest(pack: str, settings: Settings) -> str:
    """The digest of a pack given as for `find_pack`, or by its digest; then it need not be installed.

    Raises PackError.
    """
    if is_digest(pack):
        return pack
    return load_pack(settings.model_copy(update={"pack": pack})).info.digest


def _places(settings: Settings) -> list[Path]:
    own = [settings.pack_dir] if settings.pack_dir is not None else []
    return [*own, settings.home / "packs", Path.home() / ".insightface" / "models", OPEN_FOLDER.parent]


def _is_pack(folder: Path) -> bool:
    return (folder / MANIFEST_FILE).is_file() or any(folder.glob("*.onnx"))


def _describe(folder: Path) -> PackDescription:
    if has_manifest(folder):
        manifest = read_manifest(folder)
        manifest.verify(folder)
        commercial_use = manifest.licence.commercial_use
    else:
        from deployments.packs import insightface_pack  # noqa: PLC0415

        manifest = insightface_pack.derive_manifest(folder)
        commercial_use = insightface_pack.has_commercial_licence(folder)
    present = {name for name, _ in manifest.roles.present()}
    borrowed = tuple(name for name in type(manifest.roles).model_fields if name not in present)
    return PackDescription(folder, manifest, commercial_use, borrowed)
