"""Finds model packs by name or path, checks licence and files, and opens them. Never uses the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deployments.packs.manifest import MANIFEST_FILE, Manifest, read_manifest
from deployments.packs.nets import ModelPack
from deployments.packs.pack import OPEN_FOLDER, LoadedPack
from semblance.errors import PackError
from semblance.settings import Settings


@dataclass(frozen=True, slots=True)
class PackEntry:
    """One pack that can be found by name. problem says why it cannot be loaded, else None."""

    name: str
    folder: Path
    commercial_use: bool
    problem: str | None


@dataclass(frozen=True, slots=True)
class PackDescription:
    """Everything about a pack that is known without running it. borrowed: the roles that the open pack
    plays for it."""

    folder: Path
    manifest: Manifest
    digest: str
    commercial_use: bool
    borrowed: tuple[str, ...]


def load_pack(settings: Settings) -> ModelPack:
    """The pack that the settings name, every file verified and its licence agreed to; the nets are built
    by its methods.

    Raises PackError where it is absent, damaged, not valid or not permitted.
    """
    folder = find_pack(settings.pack, settings)
    manifest = _manifest(folder)
    if not settings.accept_noncommercial and not _permits_commercial_use(folder, manifest):
        raise PackError(
            f"Model pack {manifest.name} is licensed for non-commercial use only ({manifest.licence.name}). "
            "If your use is non-commercial, such as research, agree by setting "
            "SEMBLANCE_ACCEPT_NONCOMMERCIAL=1; for commercial use obtain a licence from its publisher or use "
            "SEMBLANCE_PACK=open."
        )
    manifest.verify(folder)
    return LoadedPack(folder, manifest, settings)


def describe(settings: Settings) -> PackDescription:
    """The pack that the settings name, every file verified, without asking for its licence's consent.

    Raises PackError where it is absent, damaged or not valid.
    """
    folder = find_pack(settings.pack, settings)
    manifest = _manifest(folder)
    manifest.verify(folder)
    present = {name for name, _ in manifest.roles.present()}
    borrowed = tuple(name for name in type(manifest.roles).model_fields if name not in present)
    return PackDescription(
        folder, manifest, manifest.digest, _permits_commercial_use(folder, manifest), borrowed
    )


def list_packs(settings: Settings) -> list[PackEntry]:
    """Every pack that can be named, in the order they are looked for; the first of a name wins."""
    entries: dict[str, PackEntry] = {}
    for place in _places(settings):
        for folder in sorted(path for path in place.glob("*") if _is_pack(path)):
            if folder.name not in entries:
                entries[folder.name] = _entry(folder)
    return list(entries.values())


def find_pack(pack: str, settings: Settings) -> Path:
    """The folder of a pack given by name, or by a path (anything with a separator or a leading dot or ~).

    Raises PackError with the places searched and how to install it.
    """
    if "/" in pack or "\\" in pack or pack.startswith((".", "~")):
        folders = [Path(pack).expanduser()]
    else:
        folders = [place / pack for place in _places(settings)]
    for folder in folders:
        if _is_pack(folder):
            return folder.resolve()
        if _is_pack(folder / folder.name):  # some release archives wrap the folder in itself
            return (folder / folder.name).resolve()
    looked = ", ".join(str(folder.absolute()) for folder in folders)
    raise PackError(
        f"Model pack {pack!r} was not found; looked for {MANIFEST_FILE} or .onnx files in {looked}. "
        "Packs are never downloaded: for an InsightFace pack, download its archive from the InsightFace "
        f"releases on GitHub and unpack its .onnx files into {folders[0].absolute()}, or point "
        "SEMBLANCE_PACK_DIR at the folder that holds your packs."
    )


def _places(settings: Settings) -> list[Path]:
    own = [settings.pack_dir] if settings.pack_dir is not None else []
    return [*own, settings.home / "packs", Path.home() / ".insightface" / "models", OPEN_FOLDER.parent]


def _is_pack(folder: Path) -> bool:
    return (folder / MANIFEST_FILE).is_file() or any(folder.glob("*.onnx"))


def _entry(folder: Path) -> PackEntry:
    try:
        manifest = _manifest(folder)
    except PackError as exc:
        return PackEntry(folder.name, folder, False, exc.message)
    return PackEntry(folder.name, folder, _permits_commercial_use(folder, manifest), None)


def _manifest(folder: Path) -> Manifest:
    return read_manifest(folder)


def _permits_commercial_use(folder: Path, manifest: Manifest) -> bool:
    return manifest.licence.commercial_use
