"""`semblance models`."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from deployments.packs.registry import describe_pack, has_stale_calibration, list_packs, load_calibration
from ops.commands.models.calibration_table import calibration_table
from ops.commands.output import console
from semblance.settings import Settings


def list_models(settings: Settings) -> None:
    """Print a table of all packs."""
    table = Table("", "Pack", "Licence", "Commercial use", "Digest", "Folder")
    for entry in list_packs(settings):
        used = "[green]*[/]" if entry.name == settings.pack else ""
        if entry.description is None:
            table.add_row(used, escape(entry.name), "[red]unusable[/]", "", "", escape(entry.problem or ""))
            continue
        pack = entry.description
        table.add_row(
            used,
            escape(entry.name),
            escape(pack.manifest.licence.name),
            "yes" if pack.commercial_use else "[yellow]no[/]",
            pack.manifest.digest[:12],
            escape(str(entry.folder)),
        )
    console.print(table)
    console.print("[green]*[/] in use; choose with SEMBLANCE_PACK.")


def verify_model(settings: Settings, name: str | None) -> None:
    """Print the digest of every file. Raises PackError with the file's name if one differs."""
    pack = describe_pack(_chosen(settings, name))
    for file, digest in sorted(pack.manifest.sha256.items()):
        console.print(f"[green]✓[/] {escape(file)} [dim]{digest}[/]", soft_wrap=True)
    console.print(f"Model pack {pack.manifest.name} is intact: digest {pack.manifest.digest}", soft_wrap=True)


def show_model(settings: Settings, name: str | None) -> None:
    """Print what a pack consists of, and what its similarities mean."""
    chosen = _chosen(settings, name)
    pack = describe_pack(chosen)
    manifest = pack.manifest
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold")
    rows.add_column(overflow="fold")
    rows.add_row("Pack", f"{manifest.name} {manifest.version}")
    rows.add_row("Description", escape(manifest.description))
    rows.add_row("Licence", escape(manifest.licence.name))
    rows.add_row(
        "Commercial use", "yes" if pack.commercial_use else "no: set SEMBLANCE_ACCEPT_NONCOMMERCIAL=1"
    )
    rows.add_row("Threshold", f"{manifest.threshold:g} cosine similarity for the same person")
    for role, net in manifest.roles.present():
        rows.add_row(role, f"{escape(net.file)}, input {net.input_size} px")
    for role in pack.borrowed:
        rows.add_row(role, "from the open pack")
    rows.add_row("Digest", manifest.digest)
    rows.add_row("Folder", escape(str(pack.folder)))
    calibration = load_calibration(chosen, manifest.digest)
    if calibration is not None:
        rows.add_row("Calibration", escape(calibration.source))
    elif has_stale_calibration(chosen, manifest.digest):
        rows.add_row("Calibration", "not used: made for another version of the pack")
    else:
        rows.add_row("Calibration", "none")
    console.print(rows)
    if calibration is not None:
        console.print(calibration_table(calibration))


def _chosen(settings: Settings, name: str | None) -> Settings:
    """Settings for the pack of this name, with its own calibration; without a name, unchanged."""
    return settings if name is None else settings.model_copy(update={"pack": name, "calibration": None})
