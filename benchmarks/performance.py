"""Runs the benchmarks and writes docs/performance.md: what is measured, compared with what, and the limit.

Each benchmark is a separate process and compares with its peer in the same run, so that other work on the
machine falls on both. What was measured is kept in docs/performance.json, so that some can be run again.

    python -m benchmarks.performance --photos FOLDER             # all; hours
    python -m benchmarks.performance --quick                     # small sizes; prints the page; minutes
    python -m benchmarks.performance --only celebrity_match
    python -m benchmarks.performance --only nothing              # only writes the page again
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import psutil
import typer
from rich.console import Console

DOCS = Path(__file__).parent.parent / "docs"
KEPT = DOCS / "performance.json"
PAGE = DOCS / "performance.md"

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""As Ray gives the replicas of the service."""


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One line of the table.

    what: with sizes. unit: of `ours`, `peer` and `limit`. peer, peer_is: what it is compared with; None where
    only the limit counts. better: whether less or more of it is. limit: the goal; None without one.
    """

    what: str
    unit: str
    ours: float
    better: Literal["less", "more"]
    limit: float | None = None
    peer: float | None = None
    peer_is: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times as good as the peer ours is."""
        if self.peer is None:
            return None
        return self.peer / self.ours if self.better == "less" else self.ours / self.peer

    @property
    def is_kept(self) -> bool | None:
        """Whether the limit is; None without one."""
        if self.limit is None:
            return None
        return self.ours <= self.limit if self.better == "less" else self.ours >= self.limit


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A module of this package that ends with one JSON object.

    name: of it in the table's source. options, quick: of the command, in full and for `--quick`. figures: of
    what the module prints. photos: whether it needs a folder of photos. root: whether it needs that user.
    keeps: whether it can keep what it fills in a folder.
    """

    name: str
    module: str
    figures: Callable[[Mapping[str, Any]], Iterable[ComparedFigure]]
    options: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    photos: bool = False
    root: bool = False
    keeps: bool = False
    environment: Mapping[str, str] | None = None


JOB_MS = {(100_000, 128): 6.0, (100_000, 512): 6.0, (1_000_000, 128): 25.0, (1_000_000, 512): 50.0}
"""The goals of a whole match job, by celebrities and dimensions."""

AT_ONCE_MS = 150.0
"""The goal of eight at once among a million."""


def _celebrity_match(dimensions: int) -> Callable[[Mapping[str, Any]], Iterable[ComparedFigure]]:
    def figures(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
        for result in found["results"]:
            size = result["celebrities"]
            what = f"{size:,} celebrities of {dimensions} dimensions"
            old = (result["old_ms"], "the old app's function")
            limit = JOB_MS.get((size, dimensions))
            yield ComparedFigure(f"a match job, {what}", "ms", result["ours_ms"], "less", limit, *old)
            bare = (result["numpy_ms"], "the factors in NumPy")
            yield ComparedFigure(f"its search alone, {what}", "ms", result["search_ms"], "less", None, *bare)
            old = (result["old_p95_at_once_ms"], "the old app's function")
            most = AT_ONCE_MS if size == 1_000_000 else None
            ours = result["ours_p95_at_once_ms"]
            yield ComparedFigure(f"eight match jobs at once, p95, {what}", "ms", ours, "less", most, *old)

    return figures


def _rematch(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    results = found["results"]
    size = f"{results['faces']:,} faces with {results['celebrities']:,} celebrities"
    rates = {way: rate / 1e6 for way, rate in results["pairs_per_second"].items()}
    bare = "the cosines alone, float32"
    yield ComparedFigure(
        f"a rematch, {size}", "M pairs/s", rates["ours"], "more", rates["bare products"],
        rates["bare products"], bare,
    )  # fmt: skip
    yield ComparedFigure(
        f"the same when nothing has changed, {size}", "M pairs/s", rates["ours, nothing changed"], "more",
        1.5 * rates["bare products"], rates["bare products"], bare,
    )  # fmt: skip
    same = rates["ours, nothing changed, compared all the same"]
    yield ComparedFigure(
        f"the same with `--settled`, {size}", "M pairs/s", same, "more", None, rates["bare products"], bare,
    )  # fmt: skip
    old = (1000 * rates["old"], rates["old"], "the old app's function")
    yield ComparedFigure(f"a rematch, {size}", "M pairs/s", rates["ours"], "more", *old)


NODES_EFFICIENCY = 0.85
"""The goal of n nodes, of n times the speed of one."""


def _nodes(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    first, *others = found["results"]
    for result in others:
        nodes, delay = result["nodes"], result["round_trip_ms"]
        what = f"a rematch on {nodes} Ray node{'s' if nodes > 1 else ''}, {delay:g} ms between machines"
        most = nodes * first["pairs_per_second"] / 1e6
        peer = (most, "as many times one node without delay")
        ours = result["pairs_per_second"] / 1e6
        yield ComparedFigure(what, "M pairs/s", ours, "more", NODES_EFFICIENCY * most, *peer)


def _vector_search(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    for result in found["results"]:
        what = f"`/lookalikes` of {result['rows']:,} rows, {result['keeps']:.2%} of them kept by a category"
        for way, milliseconds in (
            ("pgvector's HNSW", result["hnsw_p50_ms"]),
            ("all rows in SQL", result["exact_p50_ms"]),
        ):
            yield ComparedFigure(what, "ms", result["p50_ms"], "less", None, milliseconds, way)
        hnsw = (result["hnsw_recall"], "pgvector's HNSW")
        yield ComparedFigure(f"{what}: recall of the best ten", "", result["recall"], "more", 0.98, *hnsw)


def _reads(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    way = "through the whole stack" if found["stack"] else "one process"
    for result in found["results"]:
        bare = result["bare"]["p95"]
        what = f"`{result['read']}`, p95, {way}"
        limit = 3 * bare if found["stack"] else None
        yield ComparedFigure(what, "ms", result["api"]["p95"], "less", limit, bare, "its statements alone")


def _realtime(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    result = found["result"]
    what = f"from commit to {result['sockets']} sockets, p99"
    yield ComparedFigure(what, "ms", result["p99"], "less", 1000.0)
    wanted = result["sockets"] * result["events"]
    yield ComparedFigure("events of these that came", "", result["delivered"], "more", float(wanted))


def _storage_plain(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    first, *_, ours = found["results"]
    for query, milliseconds in ours["milliseconds"].items():
        default = (first["milliseconds"][query], "PostgreSQL's default storage")
        yield ComparedFigure(f"reading a gallery: {query}", "ms", milliseconds, "less", None, *default)


def _decode_cost(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    worst = max(
        (cost for cost in found["results"] if cost["picture"] != "hostile"), key=lambda cost: cost["ratio"]
    )
    jpeg = worst["cpu_ms"] / worst["ratio"]
    what = f"the dearest picture without a face, {worst['picture']} {worst['kind']}"
    yield ComparedFigure(
        what, "ms of CPU", worst["cpu_ms"], "less", 2 * jpeg, jpeg, "a JPEG of the same picture"
    )


def _photo_path(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    results = found["results"]
    bare = results["bare_per_second"]
    ours, flask = results["semblance"], results["flask"]
    unit = "photos/s"
    one, most = ours[0]["per_second"], ours[-1]["per_second"]
    bare_is, flask_is = "bare processes", "the planned Flask service"
    yield ComparedFigure("photos over HTTP, 16 connections", unit, most, "more", 0.8 * bare, bare, bare_is)
    for rate, other, connections in (
        (one, flask[0]["per_second"], "one connection"),
        (most, flask[-1]["per_second"], "16 connections"),
    ):
        yield ComparedFigure(
            f"photos over HTTP, {connections}", unit, rate, "more", 3 * other, other, flask_is
        )
    plain = results["serve"][-1]["per_second"]
    yield ComparedFigure(
        "photos over HTTP, 16 connections", unit, most, "more", None, plain, "Ray Serve with its defaults"
    )
    alone = results["bare_p50_ms"]
    yield ComparedFigure(
        "a photo over HTTP, p50, one connection", "ms", ours[0]["p50_ms"], "less", 1.4 * alone, alone,
        "the same work in one process",
    )  # fmt: skip


def _ingest(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    results = found["results"]
    bare = results["bare_per_second"]
    what = f"ingestion of {results['images']:,} pictures"
    yield ComparedFigure(
        what, "pictures/s", results["images_per_second"], "more", None, bare, "bare processes"
    )


def _upload_to_match(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    results = found["results"]
    what = f"from the answer to the matches on the socket, p95, {results['celebrities']:,} celebrities"
    yield ComparedFigure(what, "ms", results["visible"]["p95"], "less", 2000.0)


def _console_gallery(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    for figure in found["figures"]:
        if figure["bound"] is not None:
            what = f"the console's gallery of {found['people']:,} people: {figure['name']}"
            yield ComparedFigure(what, figure["unit"], figure["value"], "less", figure["bound"])


def _large_tables(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    small, large = found["results"]
    for read, times in large["reads"].items():
        what = f"matches {read}, p95, {large['rows']:,} rows"
        peer = (small["reads"][read]["p95"], f"{small['rows']:,} rows")
        yield ComparedFigure(what, "ms", times["p95"], "less", None, *peer)


def _partitions(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    for cost in found["costs"]:
        what = f"{found['rows']:,} notifications: {cost['what']}"
        peer = (cost["partitioned"], "partitions by month")
        yield ComparedFigure(what, cost["unit"], cost["plain"], "less", None, *peer)


def _pack_switch(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    at_rest = "the same without a switch"
    for result in found["results"]:
        index = "with" if result["indexed"] else "without"
        what = f"a switch of packs, {result['rows']:,} rows {index} a vector index"
        rest = (result["longest_write_at_rest"], at_rest)
        yield ComparedFigure(f"{what}: longest write", "s", result["longest_write"], "less", 1.0, *rest)
        rest = (result["p95_at_rest"], at_rest)
        yield ComparedFigure(f"{what}: searches meanwhile, p95", "ms", result["p95"], "less", None, *rest)


def _uploads(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    for result in found["results"]:
        what = f"the database alone: matched of {result['offered']:.0f} uploads a second"
        # The rate that was asked for, of which chance made a few more; the last are not matched at the end.
        limit = result["rate"] if result["rate"] == 200 else None
        offered = (result["offered"], "offered")
        yield ComparedFigure(what, "/s", result["matched"], "more", limit, *offered)


def _text_search(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    for result in found["results"]:
        what = f"a search of bios, {result['at_school']:,} of {result['people']:,} people at the school"
        search, exact = result["parts"]["search"]["p95_ms"], result["parts"]["exact"]["p95_ms"]
        yield ComparedFigure(f"{what}, p95", "ms", search, "less", 50.0, exact, "everybody compared")
        yield ComparedFigure(f"{what}: recall of the best ten", "", result["recall"], "more", 0.98)


def _text_queue(found: Mapping[str, Any]) -> Iterable[ComparedFigure]:
    (result,) = found["results"]
    bare = result["bare_per_s"]
    ours = result["texts_per_s"]
    yield ComparedFigure("texts by the queue", "texts/s", ours, "more", 0.8 * bare, bare, "without a queue")
    stored = (result["insert_p95_ms"], "the message stored")
    yield ComparedFigure("a text queued, p95", "ms", result["enqueue_p95_ms"], "less", None, *stored)


BENCHMARKS = (
    *(
        Benchmark(
            f"celebrity_match_{dimensions}",
            "celebrity_match",
            _celebrity_match(dimensions),
            ("--dimensions", str(dimensions), "--size", "100000", "--size", "1000000"),
            ("--dimensions", str(dimensions), "--size", "10000"),
            keeps=True,
            environment=ONE_THREAD,
        )
        for dimensions in (128, 512)
    ),
    Benchmark("rematch", "rematch", _rematch, quick=("--faces", "500", "--celebrities", "20000")),
    Benchmark(
        "nodes",
        "nodes",
        _nodes,
        quick=("--nodes", "2", "--faces", "1000", "--celebrities", "20000"),
        root=True,
        keeps=True,
    ),
    Benchmark("vector_search", "vector_search", _vector_search, quick=("--rows", "10000", "--probes", "50")),
    Benchmark(
        "reads",
        "reads",
        _reads,
        quick=(
            *("--profiles", "1000", "--faces", "5000", "--matches", "50000"),
            *("--seconds", "1", "--rounds", "1"),
        ),
    ),
    Benchmark("reads_stack", "reads", _reads, ("--stack",), ("--stack", "--seconds", "1", "--rounds", "1")),
    Benchmark("realtime", "realtime", _realtime, quick=("--sockets", "50", "--events", "10")),
    Benchmark("storage_plain", "storage_plain", _storage_plain, quick=("--rows", "5000", "--runs", "3")),
    Benchmark("decode_cost", "decode_cost", _decode_cost, quick=("--repeat", "1")),
    Benchmark("large_tables", "large_tables", _large_tables, quick=("--rows", "200000", "--reads", "100")),
    Benchmark("partitions", "partitions", _partitions, quick=("--rows", "100000", "--requests", "100")),
    Benchmark(
        "pack_switch",
        "pack_switch",
        _pack_switch,
        ("--rows", "1000000", "--no-before", "--no-index"),
        ("--rows", "10000", "--no-before", "--no-index"),
    ),
    Benchmark(
        "pack_switch_index",
        "pack_switch",
        _pack_switch,
        ("--rows", "100000", "--no-before"),
        ("--rows", "10000", "--no-before"),
    ),
    Benchmark("uploads", "uploads", _uploads, quick=("--rate", "50", "--seconds", "5")),
    Benchmark("text_search", "text_search", _text_search, quick=("--people", "5000")),
    Benchmark("text_queue", "text_queue", _text_queue),
    Benchmark("console_gallery", "console_gallery", _console_gallery, quick=("--people", "500")),
    Benchmark("photo_path", "photo_path", _photo_path, photos=True),
    Benchmark("ingest", "ingest", _ingest, photos=True),
    Benchmark("upload_to_match", "upload_to_match", _upload_to_match, photos=True),
)


def main(
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photos, for the benchmarks that need some.", exists=True)
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for filled databases, which the next run uses again.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Run only this one; the others stay as measured. Repeatable."),
    ] = None,
) -> None:
    """Run benchmarks one after the other, and write the page; with small sizes, print it. Ends with 1 if one
    of them failed."""
    console = Console(stderr=True)
    # Small sizes do not take the place of what is known.
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() and not quick else {}
    failed = []
    for benchmark in BENCHMARKS:
        if only and benchmark.name not in only and benchmark.module not in only:
            continue
        if benchmark.photos and photos is None:
            console.print(f"{benchmark.name} needs --photos", style="yellow")
            continue
        if benchmark.root and os.geteuid():
            console.print(f"{benchmark.name} needs root", style="yellow")
            continue
        console.rule(benchmark.name)
        measured = run(benchmark, photos, keep, quick=quick)
        if measured is None:
            failed.append(benchmark.name)
            continue
        kept[benchmark.name] = measured
        if not quick:
            # After each, because the next may take an hour.
            KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    if quick:
        print(page(kept))
    else:
        PAGE.write_text(page(kept))
    if failed:
        console.print(f"failed: {', '.join(failed)}", style="red")
    raise typer.Exit(bool(failed))


def run(
    benchmark: Benchmark, photos: Path | None, keep: Path | None, *, quick: bool
) -> dict[str, Any] | None:
    """What one benchmark measured, for KEPT; None if it failed, which it says on stderr."""
    options = [*(benchmark.quick if quick else benchmark.options), "--json"]
    if benchmark.photos:
        options += ["--photos", str(photos)]
    if benchmark.keeps and keep is not None:
        options += ["--keep", str(keep)]
    load = os.getloadavg()[0]
    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{benchmark.module}", *options],
        env={**os.environ, **(benchmark.environment or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = ended.stdout.splitlines()
    if ended.returncode or not lines:
        return None
    figures = [asdict(figure) for figure in benchmark.figures(json.loads(lines[-1]))]
    # Folders are left out: they are paths of this machine.
    command = " ".join([*(f"{name}={value}" for name, value in (benchmark.environment or {}).items()),
        "python -m", f"benchmarks.{benchmark.module}",
        *(benchmark.quick if quick else benchmark.options)])  # fmt: skip
    return {
        "command": command,
        "machine": machine(),
        "load": round(load, 1),
        "on": datetime.now(UTC).date().isoformat(),
        "figures": figures,
    }


def machine() -> str:
    """Processor, cores, memory and interpreter."""
    name = platform.processor() or platform.machine()
    with Path("/proc/cpuinfo").open() if Path("/proc/cpuinfo").exists() else Path(os.devnull).open() as lines:
        for line in lines:
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    memory = round(psutil.virtual_memory().total / 2**30)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {memory} GiB, {python}"


HEADINGS = ("what", "compared with", "limit", "ours", "peer", "ratio", "kept", "run")

HEAD = """# Performance

`make bench` runs the benchmarks and writes this page. `make bench QUICK=1` takes small sizes and prints what
it measured, and `make bench ONLY=rematch` runs one of them. Those of photos need `FACES=folder`, a folder of
photos with faces, and `nodes` needs root on Linux.

Each compares with its peer in the same run, so that other work on the machine falls on both. The ratio is how
many times as good as the peer ours is. Where the load at the start of a run was above the number of cores,
times are longer than on an idle machine, and ratios count."""


def page(kept: Mapping[str, Any]) -> str:
    """docs/performance.md."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"| --- | --- |{' ---: |' * 4} --- | ---: |"]
    runs: list[str] = []
    missing: list[str] = []
    for benchmark in BENCHMARKS:
        measured = kept.get(benchmark.name)
        if measured is None:
            missing.append(f"`{benchmark.name}`")
            continue
        where = f"{measured['machine']}, load {measured['load']:g}, {measured['on']}"
        runs.append(f"{len(runs) + 1}. `{measured['command']}` on {where}")
        lines += [_line(ComparedFigure(**figure), len(runs)) for figure in measured["figures"]]
    parts = [HEAD, "\n".join(lines), "The runs:", "\n".join(runs)]
    if missing:
        parts.append(f"Not in this table yet: {', '.join(missing)}.")
    return "\n\n".join(parts) + "\n"


def _line(figure: ComparedFigure, run: int) -> str:
    """A figure as a line of the table."""
    sign = "≤" if figure.better == "less" else "≥"
    values = [
        figure.what,
        figure.peer_is,
        "" if figure.limit is None else f"{sign} {_number(figure.limit)}",
        f"{_number(figure.ours)} {figure.unit}".strip(),
        "" if figure.peer is None else _number(figure.peer),
        "" if figure.ratio is None else _number(figure.ratio),
        {None: "", True: "yes", False: "no"}[figure.is_kept],
        str(run),
    ]
    return f"| {' | '.join(values)} |"


def _number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


if __name__ == "__main__":
    typer.run(main)
