"""The numbers of `constants.yaml`: what was measured, what is assumed, and what machines cost."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FILE: Final = Path(__file__).with_name("constants.yaml")


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measured(_Entry):
    """A number that a benchmark of this project printed. command: that prints it. of: what it is."""

    value: float = Field(gt=0)
    unit: str
    of: str
    command: str
    day: datetime.date
    load: str


class Assumed(_Entry):
    """A number that was chosen. why: the reason."""

    value: float = Field(gt=0)
    unit: str
    of: str
    why: str


class Machine(_Entry):
    """What can be rented. memory_gib: GiB. usd_an_hour: the list price."""

    name: str
    cores: int = Field(ge=1)
    memory_gib: float = Field(gt=0)
    usd_an_hour: float = Field(gt=0, allow_inf_nan=False)


class Prices(_Entry):
    """of: whose list. day: of which. disk, objects: USD for a GB a month."""

    of: str
    day: datetime.date
    disk_usd: float = Field(gt=0)
    objects_usd: float = Field(gt=0)
    machines: tuple[Machine, ...] = Field(min_length=1)


class Constants(_Entry):
    """All numbers, by name."""

    measured: dict[str, Measured]
    assumed: dict[str, Assumed]
    prices: Prices

    @model_validator(mode="after")
    def _names_are_used_once(self) -> Self:
        if both := self.measured.keys() & self.assumed.keys():
            raise ValueError(f"both measured and assumed: {', '.join(sorted(both))}")
        return self

    def __getitem__(self, name: str) -> float:
        """The value of a measured or assumed number."""
        known = self.measured.get(name) or self.assumed[name]
        return known.value


def with_prices(known: Constants, prices: Sequence[str]) -> Constants:
    """The same numbers with other prices of machines. prices: NAME=USD, an hour. Raises ValueError."""
    machines = {machine.name: machine for machine in known.prices.machines}
    for given in prices:
        name, _, usd = given.partition("=")
        if name not in machines:
            raise ValueError(f"{given!r} names none of the machines: {', '.join(machines)}.")
        try:
            machines[name] = Machine.model_validate({**machines[name].model_dump(), "usd_an_hour": usd})
        except ValidationError:
            raise ValueError(f"{given!r} does not end with a price, such as {name}=0.06.") from None
    listed = known.prices.model_copy(update={"machines": tuple(machines.values())})
    return known.model_copy(update={"prices": listed})


def load_constants() -> Constants:
    """The numbers of the file."""
    return Constants.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))
