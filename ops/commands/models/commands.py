"""`semblance models`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.commands.environment import get_settings
from semblance.settings import Settings

models = typer.Typer(
    no_args_is_help=True, help="Model packs: list, show and verify them; calibrate and evaluate them."
)


@models.command("list")
def models_list() -> None:
    """List and check all model packs that SEMBLANCE_PACK can name."""
    from ops.commands.models.packs import list_models

    list_models(get_settings())


@models.command("verify")
def models_verify(
    name: Annotated[
        str | None, typer.Argument(help="Name or path of a pack. Default: the one in use.")
    ] = None,
) -> None:
    """Compare every file of a pack with its recorded SHA-256.

    [bold]Examples[/]

      semblance models verify
      semblance models verify buffalo_l
    """
    from ops.commands.models.packs import verify_model

    verify_model(get_settings(), name)


@models.command("show")
def models_show(
    name: Annotated[
        str | None, typer.Argument(help="Name or path of a pack. Default: the one in use.")
    ] = None,
) -> None:
    """Show a pack's nets, threshold, licence and digest, and what its similarities mean."""
    from ops.commands.models.packs import show_model

    show_model(get_settings(), name)


_Pack = Annotated[
    str | None,
    typer.Option(help="Name or path of a pack, as in SEMBLANCE_PACK. Default: the one in use."),
]


@models.command("calibrate")
def models_calibrate(
    folder: Annotated[
        Path,
        typer.Argument(exists=True, file_okay=False, help="Folder with a folder of photos for each person."),
    ],
    groups: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="CSV with the columns folder and group: the group of a person."
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Whose photos they are, in words; recorded in the calibration.")
    ] = None,
    pack: _Pack = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            dir_okay=False,
            help="File to write. Default: calibration.json in the pack's folder.",
        ),
    ] = None,
) -> None:
    """Measure what the similarities of a pack mean, on photos of known people.

    Photos of two people show how alike strangers are; photos of the same person, how alike a person is to
    themselves. Answers then have a rarity, "closer than 1 in N strangers", and [cyan]POST /compare-photos[/]
    a probability and decisions at a stated error rate. N is limited by the number of people: 10 people give
    1 in 10, 100 people 1 in 1,000, 1,000 people 1 in 100,000. The probability needs a second photo of some.

      photos/ada/1.jpg
      photos/ada/2.jpg
      photos/bob/1.jpg

    The largest face of each photo counts, so use photos of one person. They should be like those of your
    users, and the people must have agreed. The file that is written names nobody.

    [bold]Examples[/]

      semblance models calibrate photos/
      semblance models calibrate photos/ --groups groups.csv --source "300 volunteers, 2026"
      semblance models calibrate photos/ --pack buffalo_l --output buffalo_l.json
      SEMBLANCE_CALIBRATION=mine.json semblance up
    """
    from ops.commands.models.calibrate import calibrate_model

    calibrate_model(_with_pack(pack), folder, groups=groups, source=source, output=output)


@models.command("evaluate")
def models_evaluate(
    pairs: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="CSV with the columns photo_a, photo_b, same (1 or 0) and, optionally, group.",
        ),
    ],
    photos: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="Folder that the paths in the CSV are relative to."),
    ],
    pack: _Pack = None,
    sheet: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Image to write, .png or .jpg, with the faces of the worst pairs."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts. Progress goes to stderr.")] = False,
) -> None:
    """Measure how well a pack tells the same person from two people, on labelled pairs of photos.

    Every photo is treated like an upload: decoded, searched for faces, and its largest face embedded. Photos
    without a readable face are counted and listed. The result has the AUC, the accuracy at the pack's own
    threshold and at thresholds found on other pairs, and the share of pairs of the same person that is still
    accepted at false accept rates from .1 down to what the pairs support. All have 95 % intervals. Each group
    is measured with the thresholds of all pairs.

      photo_a,photo_b,same,group
      ada/1.jpg,ada/2.jpg,1,women
      ada/1.jpg,eve/1.jpg,0,women

    [bold]Examples[/]

      semblance models evaluate pairs.csv --photos photos/
      semblance models evaluate pairs.csv --photos photos/ --sheet worst.png
      semblance models evaluate pairs.csv --photos photos/ --pack buffalo_l --json > buffalo_l.json
    """
    from ops.commands.models.evaluate import evaluate_model

    evaluate_model(_with_pack(pack), pairs, photos, sheet=sheet, as_json=as_json)


def _with_pack(name: str | None) -> Settings:
    settings = get_settings()
    return settings if name is None else settings.model_copy(update={"pack": name})
