"""The calculator of sizes: its page is current, its numbers have sources, and more never takes less."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import astuple

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from semblance.settings import Settings
from tools import CHECKOUT
from tools.sizing.__main__ import TARGET, main
from tools.sizing.constants import load_constants, with_prices
from tools.sizing.model import Demand, Need, need, plans
from tools.sizing.page import LARGEST_CORES, PHOTOS_A_USER, largest_users, of_users, render

KNOWN = load_constants()

demands = st.builds(
    Demand,
    users=st.integers(1, 10**8),
    photos_a_day=st.integers(0, 10**7),
    celebrities=st.integers(0, 10**7),
    peak_factor=st.floats(1, 50),
    faces_a_user=st.floats(0, 20),
    matches_a_face=st.floats(0, 500),
    reads_a_photo=st.floats(0, 1000),
    connected=st.floats(0, 1),
    watchers=st.integers(0, 10**5),
)


def numbers(found: Need) -> Iterator[float]:
    yield from (found.photos_s, found.reads_s, found.deliveries_s, found.sockets, found.connections)
    yield from astuple(found.service)
    yield from astuple(found.database)
    yield from (found.pictures_gb, found.api_replicas, found.matcher_replicas)


def test_the_page_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(KNOWN), "run python -m tools.sizing --page"


def test_measured_numbers_name_a_benchmark_that_exists() -> None:
    for name, number in KNOWN.measured.items():
        found = re.search(r"python -m (benchmarks\.\w+)", number.command)
        assert found is not None, name
        assert importlib.util.find_spec(found[1]) is not None, name
        source = (CHECKOUT / (found[1].replace(".", "/") + ".py")).read_text(encoding="utf-8")
        for option in re.findall(r"--[a-z]+", number.command):
            assert option in source or option.removeprefix("--") in source, (name, option)


def test_assumed_defaults_are_those_of_the_settings() -> None:
    defaults = Settings.model_fields
    assert KNOWN["pool"] == defaults["database_pool_size"].default
    assert KNOWN["jobs_kept_days"] == defaults["match_jobs_kept_days"].default


@given(demands, st.sampled_from(sorted(Demand.model_fields)), st.floats(1, 100))
def test_more_never_takes_less(demand: Demand, field: str, times: float) -> None:
    value = getattr(demand, field)
    more = value * times
    if field == "connected":
        more = min(1.0, more)
    elif isinstance(value, int):
        more = int(more)
    larger = demand.model_copy(update={field: more})
    for less, more_of_it in zip(numbers(need(demand, KNOWN)), numbers(need(larger, KNOWN)), strict=True):
        assert 0 <= less <= more_of_it * (1 + 1e-12)


@given(demands)
def test_every_plan_has_room_for_the_need(demand: Demand) -> None:
    wanted = need(demand, KNOWN)
    for plan in plans(wanted, KNOWN):
        service, server, count = wanted.service, wanted.database, plan.count
        cores, memory_gib = service.cores, service.replicas_gib
        if plan.database is None:
            assert count == 1
            cores, memory_gib = cores + server.cores, memory_gib + server.memory_gib
        else:
            assert plan.database.cores >= server.cores
            assert plan.database.memory_gib >= server.memory_gib
            # One may be lost.
            count -= 1
        assert count * plan.machine.cores >= cores * (1 - 1e-9)
        assert count * (plan.machine.memory_gib - service.machine_gib) >= memory_gib * (1 - 1e-9)
        assert plan.usd > plan.count * plan.machine.usd_an_hour * 700


def test_without_uploads_a_service_takes_what_it_takes_at_rest() -> None:
    at_rest = need(Demand(users=1, photos_a_day=0, celebrities=0, faces_a_user=0), KNOWN)
    assert (at_rest.service.cores, at_rest.database.cores, at_rest.pictures_gb) == (0, 0, 0)
    assert (at_rest.service.machine_gib, at_rest.service.replicas_gib) == (KNOWN["stack_gib"], 0)
    assert at_rest.database.disk_gb == pytest.approx(KNOWN["wal_gb"], abs=1e-3)
    assert (at_rest.api_replicas, at_rest.matcher_replicas) == (1, 1)
    # One machine does it, the cheapest with that much memory.
    best = min(plans(at_rest, KNOWN), key=lambda plan: plan.usd)
    assert (best.count, best.database) == (1, None)


def test_a_need_beyond_all_servers_has_no_plan() -> None:
    assert not list(plans(need(Demand(users=10**8, photos_a_day=10**7), KNOWN), KNOWN))


def test_the_limits_of_the_page_are_where_they_are_reached() -> None:
    users = largest_users(lambda found: found.database.cores <= LARGEST_CORES, KNOWN)
    assert need(of_users(users), KNOWN).database.cores <= LARGEST_CORES
    assert (
        need(of_users(round(users * 1.002) + round(1 / PHOTOS_A_USER)), KNOWN).database.cores > LARGEST_CORES
    )


def test_a_lower_price_makes_a_machine_the_cheapest() -> None:
    wanted = need(Demand(users=1_000, photos_a_day=100, celebrities=10_000), KNOWN)
    cheap = with_prices(KNOWN, ["r7i.24xlarge=0.001"])
    assert min(plans(wanted, cheap), key=lambda plan: plan.usd).machine.name == "r7i.24xlarge"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--users", "50000", "--photos-a-day", "8000"], 0, "cores: service, database"),
        (["--users", "1000", "--price", "m7i.large=0.01"], 0, "and your prices"),
        (["--price", "m7i.huge=0.01"], 2, "names none of the machines"),
        (["--price", "m7i.large"], 2, "does not end with a price"),
        (["--price", "m7i.large=nan"], 2, "does not end with a price"),
        (["--users", "0"], 2, "--users"),
        (["--connected", "1.5"], 2, "--connected"),
        (["--users", "100000000", "--photos-a-day", "10000000"], 0, "One database is not enough"),
    ],
)
def test_the_command(arguments: list[str], status: int, said: str) -> None:
    command = typer.Typer()
    command.command()(main)
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == status, done.output
    assert said in done.output
