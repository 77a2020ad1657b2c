"""How a rematch grows with the nodes of its Ray cluster: the same faces on one, two and three.

Every node is a pretended machine (`benchmarks.machines`) with the same share of a core. Another one has what
is left of the cores, for the database, the job itself and Ray's head, which searches nothing. What counts is
the ratio of the speed of n nodes to n times that of one. Each number of nodes is measured with the network as
quick as it is, and with packets that take their time.

Before the clock starts, Ray's workers have started and the gallery's file is there; that the nodes get the
gallery counts. All matches are new each time, and must be the same each time.

    python -m benchmarks.nodes                                    # as root, on Linux
    python -m benchmarks.nodes --nodes 2 --share 0.2 --json
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import psutil
import psycopg
import ray
import typer
from pydantic import SecretStr
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console
from rich.table import Table

from batch.cluster import ray_session
from batch.rematch.job import SHARD_SIZE, rematch
from benchmarks.database import kept_database
from benchmarks.machines import Network, SimulatedMachine, machines
from benchmarks.rematch import described, fill, write_gallery
from matching.rematch import Scope
from semblance.settings import Settings

DIMENSIONS = 128
"""As those of the pack that ships."""

PORT = 6379
STORE_BYTES = 500_000_000
"""Of each node's object store."""

READY_S = 120.0
"""For a node to join, with the work of others on the machine."""

RESERVE = 0.1
"""Cores that no machine has: for the network and for what else runs."""


@dataclass(frozen=True, slots=True)
class NodesResult:
    """One run. round_trip_ms: between two machines, in addition to what the network takes by itself. busy,
    hub_busy: shares of the processor time that the nodes and the machine of the database had, and used.
    efficiency: of the speed of as many times one node without a delay. matches: a hash of all."""

    nodes: int
    round_trip_ms: float
    seconds: float
    pairs_per_second: float
    efficiency: float
    busy: float
    hub_busy: float
    stages: dict[str, float]
    matches: str


def main(
    *,
    nodes: Annotated[int, typer.Option(min=1, help="Most nodes.")] = 3,
    share: Annotated[float, typer.Option(min=0.1, max=1.0, help="Of a core that each has.")] = 0.3,
    round_trip_ms: Annotated[
        float, typer.Option(min=0.0, help="Between machines, in half of the runs.")
    ] = 10.0,
    faces: Annotated[int, typer.Option(min=SHARD_SIZE, help="Faces to be matched.")] = 4500,
    celebrities: Annotated[int, typer.Option(min=100, help="Celebrities in the gallery.")] = 300_000,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for the filled database, which the next run uses again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill a database, and match all its faces on clusters of one node to `--nodes`."""
    console = Console(stderr=as_json)
    # What is started here does not end by itself.
    signal.signal(signal.SIGTERM, _end)
    cores = len(os.sched_getaffinity(0))
    rest = cores - nodes * share - RESERVE
    if rest < share:
        raise typer.BadParameter(f"{nodes} times {share} of {cores} cores leave too little for the database.")
    console.print(
        f"{cores} cores, load {os.getloadavg()[0]:.2f} at start; {share} a node, {rest:.2f} the rest"
    )
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="semblance-benchmark-")))
        (hub, *others), network = stack.enter_context(machines(nodes + 1))
        dsn = stack.enter_context(kept_database(folder))
        console.print(f"filling {celebrities:,} celebrities and {faces:,} faces …")
        settings = Settings(home=folder, database_url=SecretStr(dsn))
        asyncio.run(prepare(dsn, settings, faces, celebrities))
        for process in server_processes(dsn):
            # One that has ended meanwhile is no loss: the first starts the others.
            with suppress(ProcessLookupError):
                hub.share.take(process.pid)
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-"))
        stack.enter_context(
            ray_node(
                hub,
                "--head",
                f"--port={PORT}",
                "--num-cpus=0",
                "--include-dashboard=false",
                f"--temp-dir={temporary}",
            )
        )
        results: list[NodesResult] = []
        for number, machine in enumerate(others, 1):
            stack.enter_context(ray_node(machine, f"--address={hub.address}:{PORT}", "--num-cpus=1"))
            for delay in (0.0, round_trip_ms):
                shares = [(hub, rest), *((one, share) for one in others[:number])]
                found = measure(shares, network, delay / 1000, settings, console)
                one = results[0].pairs_per_second if results else found["pairs_per_second"]
                efficiency = found["pairs_per_second"] / one / number
                results.append(NodesResult(number, delay, efficiency=efficiency, **found))
    table = Table(title=f"{faces:,} faces with {celebrities:,} celebrities of {DIMENSIONS} dimensions")
    for heading in ("nodes", "round trip, ms", "s", "M pairs/s", "efficiency", "nodes busy", "database busy"):
        table.add_column(heading, justify="right")
    for result in results:
        table.add_row(
            str(result.nodes), f"{result.round_trip_ms:g}", f"{result.seconds:.1f}",
            f"{result.pairs_per_second / 1e6:.1f}", f"{result.efficiency:.2f}", f"{result.busy:.0%}",
            f"{result.hub_busy:.0%}",
        )  # fmt: skip
    console.print(table)
    identical = len({result.matches for result in results}) == 1
    console.print(f"the same matches each time: {'yes' if identical else 'NO'}")
    if as_json:
        sizes = {"faces": faces, "celebrities": celebrities, "cores": cores, "share": share, "rest": rest}
        rows = [asdict(result) for result in results]
        print(json.dumps({"benchmark": "nodes", **sizes, "identical": identical, "results": rows}))
    raise typer.Exit(not identical)


async def prepare(dsn: str, settings: Settings, faces: int, celebrities: int) -> None:
    """Fill what is not filled, and write the gallery's file."""
    with psycopg.connect(dsn) as connection:
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM faces), (SELECT count(*) FROM celebrities)"
        ).fetchone()
    if counts != (faces, celebrities):
        if counts != (0, 0):
            raise typer.BadParameter("The kept database has other numbers of faces or celebrities.")
        await fill(dsn, faces, celebrities, DIMENSIONS)
    await write_gallery(dsn, settings)


def server_processes(dsn: str) -> list[psutil.Process]:
    """The server's first process, which starts those of new connections, and the others."""
    with psycopg.connect(dsn) as connection:
        server = psutil.Process(connection.info.backend_pid).parent()
    assert server is not None
    return [server, *server.children()]


@contextmanager
def ray_node(machine: SimulatedMachine, *options: str) -> Iterator[None]:
    """A node of Ray on that machine."""
    process = machine.start(
        [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
            *(f"--node-ip-address={machine.address}", f"--object-store-memory={STORE_BYTES}", *options),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def measure(
    shares: list[tuple[SimulatedMachine, float]],
    network: Network,
    round_trip_s: float,
    settings: Settings,
    console: Console,
) -> dict[str, Any]:
    """Of one run, all but the number of nodes, the delay and the efficiency."""
    (hub, of_hub), *nodes = shares
    dsn = settings.required_database_url.get_secret_value()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE celebrity_matches, settled_faces, rematch_runs CASCADE")
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    job = hub.start(
        [
            *(sys.executable, "-c", "import benchmarks.nodes; benchmarks.nodes.job()"),
            *(f"{hub.address}:{PORT}", str(len(nodes)), str(settings.home)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "SEMBLANCE_DATABASE_URL": dsn},
    )
    assert job.stdin is not None and job.stdout is not None
    try:
        job.stdout.readline()
        network.delay(round_trip_s)
        for machine, cores in shares:
            machine.share.limit(cores)
        before = [machine.share.seconds() for machine, _ in shares]
        job.stdin.write("\n")
        job.stdin.flush()
        summary = json.loads(job.stdout.readline())
        after = [machine.share.seconds() for machine, _ in shares]
    finally:
        for machine, _ in shares:
            machine.share.limit(None)
        network.delay(0.0)
        job.stdin.close()
        job.wait()
    console.print(
        f"{len(nodes)} nodes, {1000 * round_trip_s:g} ms: {summary['seconds']:.1f} s, {summary['stages']}"
    )
    hub_used, *used = (later - earlier for earlier, later in zip(before, after, strict=True))
    return {
        "seconds": summary["seconds"],
        "pairs_per_second": summary["pairs"] / summary["seconds"],
        "busy": sum(used) / sum(cores for _, cores in nodes) / summary["seconds"],
        "hub_busy": hub_used / of_hub / summary["seconds"],
        "stages": summary["stages"],
        "matches": stored_matches(dsn),
    }


def job() -> None:
    """The process that has the nodes search: its arguments are Ray's address, the number of nodes and a home.
    It prints a line when it is ready, begins after one on standard input, and prints what it did."""
    address, nodes, home = sys.argv[1:]
    with ray_session(address):
        start_workers(int(nodes))
        print(flush=True)
        sys.stdin.readline()
        scope = Scope(("celebrities",), None, None, SHARD_SIZE)
        settings = Settings(home=Path(home))
        summary = asyncio.run(rematch(scope, settings, Console(stderr=True, quiet=True), address=address))
        print(json.dumps(described(summary)), flush=True)


def start_workers(nodes: int) -> None:
    """Wait for all nodes, and for a process on each that has imported what a search needs."""
    deadline = time.monotonic() + READY_S
    while ray.cluster_resources().get("CPU", 0) < nodes:  # type: ignore[no-untyped-call]
        if time.monotonic() > deadline:
            raise TimeoutError(f"Ray's {nodes} nodes are not there after {READY_S:g} s.")
        time.sleep(0.2)

    def import_search() -> None:
        import batch.rematch.search  # noqa: F401, PLC0415 - on the node

    ray.get(
        [
            ray.remote(import_search)
            # With a core reserved, the job might find none free and have its tasks run anywhere.
            .options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            )
            .remote()
            for node in ray.nodes()  # type: ignore[no-untyped-call]
            if node["Alive"] and node["Resources"].get("CPU")
        ]
    )


def stored_matches(dsn: str) -> str:
    """A hash of all, with their scores."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT md5(string_agg(format('%s %s %s', face_id, celebrity_id, similarity_score), ','"
            " ORDER BY face_id, celebrity_id)) FROM celebrity_matches"
        ).fetchone()
    assert found is not None
    return str(found[0])


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    typer.run(main)
