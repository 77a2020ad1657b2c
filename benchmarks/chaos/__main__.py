"""Kill what a stack consists of, one after the other, while clients upload and read.

Uses a separate stack, as `semblance up --detach` starts it. For each event it shows what clients saw until
everything was well again (answers by kind; errors are faults, except 503 with Retry-After and broken
connections), and how long that took: until the supervisor knows of no problem, what was hit runs again, and
every upload and read is answered. At the end it checks the invariants: every upload answered 202 is one row
and one picture, each is matched once, and nobody was notified twice.

    python -m benchmarks.chaos
    python -m benchmarks.chaos --events postgres,gcs,api --json
    python -m benchmarks.chaos --minutes 10 --random
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.chaos.events import ALL, SLOWEST, database, inflict, known, missing
from benchmarks.chaos.load import Load, counted, faults, well_since
from benchmarks.stack import SIGNING_KEY
from ops.stack.home import StackHome
from ops.stack.state import read_state
from semblance.settings import Settings

LIMIT_S = 60.0
_PATIENCE_S = 150.0
_SETTLED_S = 4.0
_POLL_S = 0.25
_RANDOM_PAUSE_S = (5.0, 40.0)

INVARIANTS = {
    "uploads with not exactly one row": """
        SELECT count(*) FROM unnest(%(users)s::uuid[], %(hashes)s::text[]) AS accepted (owner, hash)
        WHERE (SELECT count(*) FROM faces WHERE profile_id = owner AND image_hash = hash) <> 1
    """,
    "faces not matched": "SELECT count(*) FROM faces WHERE NOT EXISTS "
    "(SELECT FROM match_jobs WHERE face_id = faces.id AND status = 'completed')",
    "faces matched twice": "SELECT count(*) FROM (SELECT FROM match_jobs WHERE status = 'completed' "
    "GROUP BY face_id HAVING count(*) > 1) AS twice",
    "notifications repeated": "SELECT count(*) FROM (SELECT FROM notifications "
    "GROUP BY user_id, type, related_id HAVING count(*) > 1) AS twice",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """seen: answers by kind until it was well. healed: seconds; None if it took longer than the patience, or
    if there was nothing to hit."""

    event: str
    seen: dict[str, int]
    faults: list[str]
    healed: float | None


@dataclass(frozen=True, slots=True)
class ChaosResult:
    """broken: how often each invariant does not hold; all are zero."""

    outcomes: list[Outcome]
    seen: dict[str, int]
    accepted: int
    broken: dict[str, int]

    @property
    def holds(self) -> bool:
        healed = all(outcome.healed is not None and outcome.healed <= LIMIT_S for outcome in self.outcomes)
        return healed and not faults(self.seen) and not any(self.broken.values())


def main(
    events: Annotated[str, typer.Option(help="Several separated by commas, `slowest`, or `all`.")] = "all",
    at_random: Annotated[
        bool, typer.Option("--random", help="In any order, and before all is well again.")
    ] = False,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long, with --random.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the order.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Exit status 1 where something is not healed within a minute, lost, or seen that should not be."""
    console = Console(stderr=as_json)
    names = {"all": list(ALL), "slowest": list(SLOWEST)}.get(events) or events.split(",")
    if unknown := [name for name in names if not known(name)]:
        raise typer.BadParameter(f"{', '.join(unknown)}; there are {', '.join(ALL)}, and NAME-stop of each.")
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at start")
    with _stack() as home:
        state = read_state(home)
        assert state is not None
        with Load(state.url) as load:
            if _wait_well(load, home, time.monotonic()) is None:
                raise SystemExit(f"The stack does not answer: {counted(load.answers)}")
            if absent := missing(names, home):
                # Of `all`, a stack has what its settings give it; what is named must be there.
                if events != "all":
                    raise typer.BadParameter(f"This stack has nothing to hit for {', '.join(absent)}.")
                console.print(f"Not in this stack: {', '.join(absent)}.")
                names = [name for name in names if name not in absent]
            if at_random:
                _at_random(names, minutes, random.Random(seed), home, console)
                outcomes = [_one("guardian", load, home, console)]
            else:
                outcomes = [_one(name, load, home, console) for name in names]
        result = ChaosResult(outcomes, counted(load.answers), len(load.accepted), _broken(load, home))
    _print(result, console)
    if as_json:
        typer.echo(json.dumps({**asdict(result), "holds": result.holds}))
    if not result.holds:
        raise typer.Exit(1)


def _one(name: str, load: Load, home: StackHome, console: Console) -> Outcome:
    began = time.monotonic()
    is_back = inflict(name, home)
    # What hit nothing has shown nothing.
    well = None if is_back is None else _wait_well(load, home, began, is_back)
    seen = counted(answer for answer in load.since(began) if well is None or answer.began <= well)
    outcome = Outcome(name, seen, faults(seen), None if well is None else well - began)
    console.print(f"{name}: {_seen(seen)}, {_seconds(outcome.healed)}", highlight=False)
    return outcome


def _wait_well(
    load: Load, home: StackHome, began: float, is_back: Callable[[], bool] = lambda: True
) -> float | None:
    """The moment after `began` from which nothing was wrong for some seconds; None where none comes."""
    wrong = began
    while time.monotonic() - began < _PATIENCE_S:
        time.sleep(_POLL_S)
        now = time.monotonic()
        state = read_state(home)
        if state is None or state.problems or not is_back():
            wrong = now
        answered = well_since(load.since(began), began)
        if answered is not None and now - (since := max(wrong, answered)) >= _SETTLED_S:
            return since
    return None


def _at_random(
    names: list[str], minutes: float, generator: random.Random, home: StackHome, console: Console
) -> None:
    """Events with no regard to what is still being mended."""
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        name = generator.choice(names)
        if inflict(name, home) is not None:
            console.print(f"{time.strftime('%H:%M:%S')} {name}", highlight=False)
            time.sleep(generator.uniform(*_RANDOM_PAUSE_S))


def _broken(load: Load, home: StackHome) -> dict[str, int]:
    """How often each invariant does not hold, once the queue of match jobs is empty."""
    accepted = {
        "users": [picture.user for picture in load.accepted],
        "hashes": [picture.image_hash for picture in load.accepted],
    }
    with psycopg.connect(database(home), autocommit=True) as connection:

        def count(statement: str) -> int:
            row = connection.execute(statement, accepted).fetchone()
            assert row is not None
            return int(row[0])

        deadline = time.monotonic() + _PATIENCE_S
        while count(INVARIANTS["faces not matched"]) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        broken = {name: count(statement) for name, statement in INVARIANTS.items()}
        rows = connection.execute("SELECT image_path FROM faces").fetchall()
    broken["rows without a picture"] = sum(not (home.objects / path).is_file() for (path,) in rows)
    return broken


@contextmanager
def _stack() -> Iterator[StackHome]:
    """A detached stack with its own PostgreSQL, in a home that goes with it."""
    semblance = Path(sys.executable).with_name("semblance")
    with tempfile.TemporaryDirectory(prefix="semblance-chaos-") as folder:
        surroundings = {
            name: value for name, value in os.environ.items() if not name.startswith("SEMBLANCE_")
        }
        environment = {**surroundings, "SEMBLANCE_HOME": folder, "SEMBLANCE_JWT_SECRET": SIGNING_KEY}

        def run(*arguments: str) -> None:
            subprocess.run([semblance, *arguments], env=environment, check=True, stdout=sys.stderr)

        try:
            run("up", "--detach")
            yield StackHome.of(Settings(home=Path(folder)))
        finally:
            run("down")


def _print(result: ChaosResult, console: Console) -> None:
    table = Table("Event", "Seen by clients", "Faults", "Healed after")
    for outcome in result.outcomes:
        table.add_row(outcome.event, _seen(outcome.seen), ", ".join(outcome.faults), _seconds(outcome.healed))
    console.print(table)
    console.print(f"In all: {_seen(result.seen)}; {result.accepted} uploads accepted.")
    for name, count in result.broken.items():
        console.print(f"{name}: {count}")


def _seen(seen: dict[str, int]) -> str:
    return ", ".join(f"{count} x {kind}" for kind, count in sorted(seen.items())) or "nothing"


def _seconds(healed: float | None) -> str:
    return "not healed" if healed is None else f"{healed:.1f} s"


if __name__ == "__main__":
    typer.run(main)
