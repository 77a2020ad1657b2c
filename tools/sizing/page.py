"""docs/sizing.md: examples, what the numbers come from, and where one database ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template
from typing import Final

from tools.sizing.constants import Constants
from tools.sizing.model import HOURS_A_MONTH, Demand, MachinePlan, Need, need, plans

EXAMPLES = {
    "a pilot": Demand(users=1_000, photos_a_day=100, celebrities=10_000),
    "a university": Demand(users=30_000, photos_a_day=3_000, celebrities=50_000),
    "a country": Demand(users=300_000, photos_a_day=30_000, celebrities=100_000),
    "a continent": Demand(users=3_000_000, photos_a_day=300_000, celebrities=1_000_000),
}

_TEXT: Final = Path(__file__).with_name("page.md")

PHOTOS_A_USER: Final = 0.1
"""A day, as in the examples."""

LARGEST_CORES: Final = 96
LARGEST_GIB: Final = 768.0
LARGEST_GB: Final = 16_000.0
"""The largest server that the prices name, and the largest volume of EBS gp3: 16 TB."""


def render(known: Constants) -> str:
    """The whole page."""
    prices = known.prices
    return Template(_TEXT.read_text(encoding="utf-8")).substitute(
        busy=f"{known['busy']:g}",
        cores=LARGEST_CORES,
        gib=f"{LARGEST_GIB:.0f}",
        tb=f"{LARGEST_GB / 1000:.0f}",
        photos=PHOTOS_A_USER,
        connections=f"{known['pooled']:.0f}",
        examples=_examples(known),
        measured=_table(
            ("value", "", "of", "by", "on", "load"),
            [
                (f"{each.value:,g}", each.unit, each.of, f"`{each.command}`", str(each.day), each.load)
                for each in known.measured.values()
            ],
        ),
        assumed=_table(
            ("value", "", "of", "because"),
            [(f"{each.value:,g}", each.unit, each.of, each.why) for each in known.assumed.values()],
        ),
        limits=_table(("limit", "at users", "photos a day"), list(_limits(known))),
        list=prices.of,
        day=prices.day,
        disk=prices.disk_usd,
        objects=prices.objects_usd,
        prices=_table(
            ("machine", "cores", "GiB", "USD a month"),
            [
                (
                    each.name,
                    str(each.cores),
                    f"{each.memory_gib:g}",
                    f"{each.usd_an_hour * HOURS_A_MONTH:,.0f}",
                )
                for each in prices.machines
            ],
        ),
    )


def _table(headings: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    ruled = [headings, ("---",) * len(headings), *lines]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in ruled)


def _examples(known: Constants) -> str:
    asked = [
        (what.replace("_", " "), *(f"{getattr(demand, what):,}" for demand in EXAMPLES.values()))
        for what in ("users", "photos_a_day", "celebrities")
    ]
    needs = [need(demand, known) for demand in EXAMPLES.values()]
    told = [(heading, *texts) for heading, texts in rows(needs)]
    offered = [
        ("one machine, USD a month", *(_cheapest(each, known, together=True) for each in needs)),
        ("several, of which one may be lost", *(_cheapest(each, known, together=False) for each in needs)),
    ]
    return _table(("", *EXAMPLES), [*asked, *told, *offered])


def rows(needs: list[Need]) -> Iterator[tuple[str, list[str]]]:
    """What is told of needs: a heading, and a text for each."""
    yield "photos a second at the peak", [f"{each.photos_s:.2g}" for each in needs]
    yield "reads a second at the peak", [f"{each.reads_s:,.0f}" for each in needs]
    yield "open sockets", [f"{each.sockets:,}" for each in needs]
    yield (
        "cores: service, database",
        [f"{each.service.cores:,.1f}, {each.database.cores:,.1f}" for each in needs],
    )
    yield "GiB of memory: service, database", [_memory(each) for each in needs]
    yield (
        "GB: database, pictures",
        [f"{each.database.disk_gb:,.0f}, {each.pictures_gb:,.0f}" for each in needs],
    )
    yield "replicas: API, Matcher", [f"{each.api_replicas}, {each.matcher_replicas}" for each in needs]
    yield "connections wanted", [f"{each.connections:,}" for each in needs]


def _memory(wanted: Need) -> str:
    service = wanted.service.machine_gib + wanted.service.replicas_gib
    return f"{service:,.0f}, {wanted.database.memory_gib:,.0f}"


def _cheapest(wanted: Need, known: Constants, *, together: bool) -> str:
    """The cheapest plan with the database beside the service, or apart, and USD a month."""
    offers = [plan for plan in plans(wanted, known) if (plan.database is None) == together]
    best = min(offers, key=lambda plan: plan.usd, default=None)
    return "too large" if best is None else f"{in_words(best)}: {best.usd:,.0f}"


def in_words(plan: MachinePlan) -> str:
    """The machines of a plan."""
    if plan.database is None:
        return f"one {plan.machine.name}"
    return f"{plan.count} {plan.machine.name}, database {plan.database.name}"


def _limits(known: Constants) -> Iterator[tuple[str, ...]]:
    limits: dict[str, Callable[[Need], bool]] = {
        f"{LARGEST_CORES} cores": lambda each: each.database.cores <= LARGEST_CORES,
        f"{LARGEST_GIB:.0f} GiB of memory": lambda each: each.database.memory_gib <= LARGEST_GIB,
        f"{LARGEST_GB / 1000:.0f} TB of disk": lambda each: each.database.disk_gb <= LARGEST_GB,
        f"{known['pooled']:.0f} connections": lambda each: each.connections <= known["pooled"],
    }
    for name, fits in limits.items():
        users = _rounded(largest_users(fits, known))
        yield name, f"{users:,}", f"{of_users(users).photos_a_day:,}"


def of_users(users: int) -> Demand:
    """What so many users do."""
    return Demand(users=users, photos_a_day=round(users * PHOTOS_A_USER), celebrities=100_000)


def largest_users(fits: Callable[[Need], bool], known: Constants) -> int:
    """The most users whose need fits, within a thousandth; at least 1."""

    def fit(users: int) -> bool:
        return fits(need(of_users(users), known))

    low, high = 1, 2
    while fit(high):
        low, high = high, 2 * high
    while high - low > max(1, low // 1000):
        middle = (low + high) // 2
        low, high = (middle, high) if fit(middle) else (low, middle)
    return low


def _rounded(users: int) -> int:
    """Two digits and zeros; rounded down."""
    scale: int = 10 ** max(0, len(str(users)) - 2)
    return users // scale * scale
