"""A calibration as a table."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from deployments.packs.calibration import Calibration, Population


def calibration_table(calibration: Calibration) -> Table:
    """What a calibration was measured on, and the similarities from which on it makes a claim."""
    populations: dict[str, Population] = {"everybody": calibration, **calibration.groups}
    table = Table("", *(escape(name) for name in populations))
    table.add_row("people", *(f"{each.people:,}" for each in populations.values()))
    table.add_row("photos", *(f"{each.photos:,}" for each in populations.values()))
    table.add_row(
        "pairs of strangers",
        *(
            f"{each.strangers.people_pairs:,} of people, {each.strangers.photo_pairs:,} of photos"
            for each in populations.values()
        ),
    )
    table.add_row(
        "pairs of the same person",
        *(
            f"{each.same_person.people:,} people, {each.same_person.photo_pairs:,} of photos"
            for each in populations.values()
        ),
    )
    for rung in max((each.strangers.rungs for each in populations.values()), key=len):
        found = (
            next((own.similarity for own in each.strangers.rungs if own.one_in == rung.one_in), None)
            for each in populations.values()
        )
        cells = ("too few pairs" if similarity is None else f"{similarity:g}" for similarity in found)
        table.add_row(f"1 in {rung.one_in:,} strangers", *cells)
    if (probability := calibration.probability) is not None:
        even = -probability.intercept / probability.slope
        table.add_row(
            "same person and strangers equally likely", f"{even:.4g}", *("" for _ in calibration.groups)
        )
    return table
