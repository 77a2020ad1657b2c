"""What machines a number of users takes.

python -m tools.sizing --users 50000 --photos-a-day 8000 --celebrities 100000
python -m tools.sizing --price m7i.large=0.06    with your price of a machine, USD an hour
python -m tools.sizing --page                    write docs/sizing.md
python -m tools.sizing --page --check            exit 1 where it differs from the numbers
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from tools import CHECKOUT
from tools.pages import Check, write_page
from tools.sizing.constants import load_constants, with_prices
from tools.sizing.model import Demand, need, plans
from tools.sizing.page import in_words, render, rows

TARGET = CHECKOUT / "docs" / "sizing.md"

_DEFAULT = Demand()


def _option(name: str) -> Any:
    return typer.Option(help=Demand.model_fields[name].description)


def main(  # noqa: PLR0917 - a command's options
    users: Annotated[int, _option("users")] = _DEFAULT.users,
    photos_a_day: Annotated[int, _option("photos_a_day")] = _DEFAULT.photos_a_day,
    celebrities: Annotated[int, _option("celebrities")] = _DEFAULT.celebrities,
    peak_factor: Annotated[float, _option("peak_factor")] = _DEFAULT.peak_factor,
    faces_a_user: Annotated[float, _option("faces_a_user")] = _DEFAULT.faces_a_user,
    matches_a_face: Annotated[float, _option("matches_a_face")] = _DEFAULT.matches_a_face,
    reads_a_photo: Annotated[float, _option("reads_a_photo")] = _DEFAULT.reads_a_photo,
    connected: Annotated[float, _option("connected")] = _DEFAULT.connected,
    watchers: Annotated[int, _option("watchers")] = _DEFAULT.watchers,
    price: Annotated[
        list[str] | None,
        typer.Option(help="NAME=USD: your price of a machine, an hour. Repeatable; others keep the list's."),
    ] = None,
    page: Annotated[bool, typer.Option("--page", help="Write docs/sizing.md instead.")] = False,
    check: Check = False,
) -> None:
    """Say what users need at the peak, and which machines give it."""
    known = load_constants()
    if page:
        write_page(TARGET, render(known), check=check)
        return
    try:
        known = with_prices(known, price or [])
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--price") from exc
    try:
        demand = Demand(
            users=users,
            photos_a_day=photos_a_day,
            celebrities=celebrities,
            peak_factor=peak_factor,
            faces_a_user=faces_a_user,
            matches_a_face=matches_a_face,
            reads_a_photo=reads_a_photo,
            connected=connected,
            watchers=watchers,
        )
    except ValidationError as exc:
        (first, *_) = exc.errors()
        raise typer.BadParameter(
            f"{first['msg']}.", param_hint=f"--{str(first['loc'][0]).replace('_', '-')}"
        ) from exc
    console = Console()
    wanted = need(demand, known)
    needs = Table(title="At the peak", show_header=False)
    for heading, (value,) in rows([wanted]):
        needs.add_row(heading, value)
    console.print(needs)
    of = f"{known.prices.of}, {known.prices.day}"
    offers = Table("machines", "USD a month", title=f"{of}, and your prices" if price else of)
    for plan in sorted(plans(wanted, known), key=lambda plan: plan.usd):
        offers.add_row(in_words(plan), f"{plan.usd:,.0f}")
    console.print(offers if offers.row_count else "One database is not enough: see docs/sizing.md.")


if __name__ == "__main__":
    typer.run(main)
