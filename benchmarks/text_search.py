"""The search for people by their bios: the HNSW index compared with comparing everybody of the school, and
the whole search with its words, where people are spread over many schools or all at one.

The texts are made of phrases, and are real to the search by words. Vectors of 100,000 bios would take the
text pack half an hour, so it encodes the phrases, and a bio's vector is a mixture of those of its phrases.
Queries are encoded as they are. The search is the service's own, `TextSearch.people`, with the
application's rights.

    python -m benchmarks.text_search
    python -m benchmarks.text_search --people 20000 --json
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import defaultdict
from collections.abc import Awaitable
from dataclasses import asdict, astuple, dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import UUID

import numpy as np
import psycopg
import typer
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from rich.console import Console
from rich.table import Table

from benchmarks.database import scratch_database
from db import text_search
from db.logins import application_dsn
from db.pool import Database
from db.queries import sql
from db.text_embeddings import TextVector
from db.text_indexes import ensure_index
from db.text_search import TextSearch
from deployments.texts.encoder import TextEncoder
from deployments.texts.manifest import MINILM
from semblance.settings import Settings

Result = TypeVar("Result")

BEST = 10
MODEL = "a" * 64

SUBJECTS = (
    "marine biology", "the violin", "old films", "rock climbing", "chess", "organic chemistry", "street food",
    "jazz", "medieval history", "bicycles", "poetry", "robots", "football", "photography", "the stock market",
    "philosophy", "baking bread", "board games", "volcanoes", "Japanese", "knitting", "astronomy", "theatre",
    "long walks", "electric cars", "gardening", "swimming", "comics", "mathematics", "choir music",
)  # fmt: skip
PHRASES = (
    "I study {}.", "I cannot live without {}.", "On weekends you find me with friends and {}.",
    "Ask me about {}!", "I want to learn more about {}.", "My grandmother taught me {}.",
    "I write a blog on {}.", "Looking for people who like {}.", "Nothing bores me more than {}.",
    "I have won a prize for {}.",
)  # fmt: skip
QUERIES = ("somebody who likes {}", "{}", "who could help me with {}?", "a friend for {} and coffee")

SPREADS = {"50 schools": (0.02,) * 50, "a fifth at one": (0.2,) + (0.02,) * 40, "one school": (1.0,)}
"""Shares of the people that each school has; searched is the first."""


PARTS = {
    "encode": "the vector of the query",
    "words": "by words",
    "index": "by meaning, with the index",
    "exact": "by meaning, everybody compared",
    "search": "the vector, and the search as the service does it",
}


@dataclass(frozen=True, slots=True)
class PartTimes:
    """Milliseconds of a part of a search. cpu: what the server's process and this one worked; what is more
    than that is waiting, for other work on the machine too."""

    p50_ms: float
    p95_ms: float
    cpu_p50_ms: float
    cpu_p95_ms: float


@dataclass(frozen=True, slots=True)
class SpreadResult:
    """One spread of the people over schools. at_school: people of the school that is searched. recall: of the
    index, of the best ten. fewest: people whom it found. parts: by the names of PARTS."""

    people: int
    spread: str
    at_school: int
    recall: float
    fewest: int
    parts: dict[str, PartTimes]


class Stopwatch:
    """Times calls of parts, and the CPU that they take."""

    def __init__(self, server_pid: int) -> None:
        self._server = Path(f"/proc/{server_pid}/schedstat")
        self._taken: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)

    async def time(self, part: str, call: Awaitable[Result]) -> Result:
        """Await a call, and note what it took."""
        began, worked = time.perf_counter(), self._worked_ms()
        found = await call
        self._taken[part].append((1000 * (time.perf_counter() - began), self._worked_ms() - worked))
        return found

    def times(self) -> dict[str, PartTimes]:
        """Of all calls of each part."""
        return {
            part: PartTimes(*np.quantile(taken, (0.5, 0.95), axis=0).T.ravel().tolist())
            for part, taken in self._taken.items()
        }

    def forget(self) -> None:
        """Begin again."""
        self._taken.clear()

    def _worked_ms(self) -> float:
        return int(self._server.read_text().split()[0]) / 1e6 + 1000 * time.process_time()


def main(
    people: Annotated[int, typer.Option(help="People with a bio.")] = 100_000,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill and search, on a separate embedded server."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    encoder = TextEncoder(MINILM, Settings())
    texts, vectors = make_bios(encoder, people)
    queries = [query.format(subject) for query in QUERIES for subject in SUBJECTS]
    with scratch_database() as dsn:
        with console.status(f"filling {people:,} people"):
            fill(dsn, texts, vectors)
        results = [asyncio.run(measure(dsn, spread, encoder, queries, people)) for spread in SPREADS]
    for found in results:
        title = f"{found.at_school:,} of {people:,} people at the school ({found.spread})"
        table = Table("", title=f"{title}: recall@{BEST} {found.recall:.3f}, {found.fewest} found")
        for heading in ("p50, ms", "p95, ms", "CPU p50, ms", "CPU p95, ms"):
            table.add_column(heading, justify="right")
        for part, what in PARTS.items():
            taken = found.parts[part]
            table.add_row(what, *(f"{value:.1f}" for value in astuple(taken)))
        console.print(table)
    console.print(f"load {os.getloadavg()[0]:.2f} at the end")
    if as_json:
        ratios = {
            f"exact/index at {found.spread}": found.parts["exact"].cpu_p50_ms
            / found.parts["index"].cpu_p50_ms
            for found in results
        }
        print(
            json.dumps(
                {
                    "benchmark": "text_search",
                    "results": [asdict(found) for found in results],
                    "ratios": ratios,
                }
            )
        )


def make_bios(encoder: TextEncoder, people: int) -> tuple[list[str], NDArray[np.float32]]:
    """Texts of three phrases, and mixtures of their vectors."""
    random = np.random.default_rng(0)
    phrases = [phrase.format(subject) for phrase in PHRASES for subject in SUBJECTS]
    encoded = encoder.encode(phrases)
    chosen = random.integers(len(phrases), size=(people, 3))
    weights = random.dirichlet((4, 4, 4), size=people).astype(np.float32)
    mixed = np.einsum("pk,pkd->pd", weights, encoded[chosen])
    mixed += random.normal(scale=0.01, size=mixed.shape).astype(np.float32)
    texts = [" ".join(phrases[index] for index in row) for row in chosen]
    return texts, mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def fill(dsn: str, texts: list[str], vectors: NDArray[np.float32]) -> None:
    """People without a school, with bios, words and vectors."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        register_vector(connection)
        # Triggers would take longer than all else.
        connection.execute("SET session_replication_role = replica")
        ids = [UUID(int=number + 1) for number in range(len(texts))]
        with connection.cursor().copy("COPY profiles (id, profile_type, name, bio) FROM STDIN") as copy:
            for number, (person, text) in enumerate(zip(ids, texts, strict=True)):
                copy.write_row((person, "user", f"Person {number}", text))
        connection.execute(
            "INSERT INTO bio_words (profile_id, words)"
            " SELECT id, to_tsvector('pg_catalog.english', bio) FROM profiles"
        )
        columns = "source, source_id, chunk, model, content_hash, embedding"
        with connection.cursor().copy(f"COPY text_embeddings ({columns}) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["text", "uuid", "int2", "text", "bytea", "vector"])
            for person, text, vector in zip(ids, texts, vectors, strict=True):
                copy.write_row(("bio", person, 0, MODEL, sha256(text.encode()).digest(), vector))
    ensure_index(dsn, MODEL)


def spread_over_schools(dsn: str, shares: tuple[float, ...], people: int) -> None:
    """Give everybody a school, at random, with these shares."""
    bounds = np.cumsum([0, *(round(share * people) for share in shares)])
    places = np.random.default_rng(1).permutation(people)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for school, (first, last) in enumerate(pairwise(bounds)):
            chosen = [UUID(int=int(place) + 1) for place in places[first:last]]
            connection.execute(
                "UPDATE profiles SET school = %s WHERE id = ANY(%s)", (f"school {school}", chosen)
            )
        connection.execute("VACUUM (FULL, ANALYZE) profiles")
        connection.execute("VACUUM ANALYZE bio_words")
        connection.execute("VACUUM ANALYZE text_embeddings")


async def measure(
    dsn: str, spread: str, encoder: TextEncoder, queries: list[str], people: int
) -> SpreadResult:
    """Every query in each of the ways, after a first round that warms the cache."""
    await asyncio.to_thread(spread_over_schools, dsn, SPREADS[spread], people)
    database = await Database.connect(application_dsn(dsn), pool_size=1)
    school = "school 0"
    rows = await database.fetch("SELECT id FROM profiles WHERE school_key = $1", school)
    me = rows[0]["id"]
    watch = Stopwatch(await database.fetchval("SELECT pg_backend_pid()"))

    async def encode(query: str) -> NDArray[np.float32]:
        vectors = await asyncio.to_thread(encoder.encode, [query])
        return np.asarray(vectors[0])

    async def part(query: str, *arguments: object) -> list[UUID]:
        async with database.transaction(readonly=True) as connection:
            await connection.fetchrow(sql.tune_nearest, str(text_search.EF_SEARCH))
            return [row["id"] for row in await connection.fetch(query, *arguments)]

    async def search(query: str) -> None:
        vector = TextVector(await encode(query), MODEL)
        await TextSearch(database).people(query, vector, by=me, limit=20)

    hits, full, fewest = 0, 0, text_search.CANDIDATES
    for asked in (queries[::6], queries):
        watch.forget()
        hits, full, fewest = 0, 0, text_search.CANDIDATES
        for query in asked:
            vector = await watch.time("encode", encode(query))
            near = vector, MODEL, school, [me], text_search.CANDIDATES
            found = await watch.time("index", part(sql.bios_by_meaning, *near))
            best = await watch.time("exact", part(sql.bios_by_meaning_exact, *near))
            most = text_search.RANKED, text_search.CANDIDATES
            await watch.time("words", part(sql.bios_by_words, query, school, [me], *most))
            await watch.time("search", search(query))
            hits += len(set(found[:BEST]) & set(best[:BEST]))
            full += len(best[:BEST])
            fewest = min(fewest, len(found))
    await database.close()
    return SpreadResult(people, spread, len(rows), hits / full, fewest, watch.times())


if __name__ == "__main__":
    typer.run(main)
