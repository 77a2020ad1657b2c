"""The search for people by their bios: the HNSW index compared with comparing everybody of the school, and
the whole search with its words, where people are spread over many schools or all at one.

The texts are made of phrases, and are real to the search by words. Vectors of 100,000 bios would take the
text pack half an hour, so it encodes the phrases, and a bio's vector is a mixture of those of its phrases.
Queries are encoded as they are. The search is the service's own, `Bios.find`, with the application's rights.

    python -m benchmarks.text_search
    python -m benchmarks.text_search --people 20000 --json
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Annotated
from uuid import UUID

import numpy as np
import psycopg
import typer
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from rich.console import Console
from rich.table import Table

from benchmarks.database import scratch_database
from db import bios
from db.bios import Bios, TextVector
from db.logins import application_dsn
from db.pool import Database
from db.queries import sql
from deployments.texts.encoder import MINILM, TextEncoder
from semblance.settings import Settings

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


@dataclass(slots=True)
class SpreadResult:
    """One spread of the people over schools. at_school: people of the school that is searched. recall: of the
    index, of the best ten. Times in ms, of the two ways to search by meaning, by words, and of the search as
    the service does it."""

    people: int
    spread: str
    at_school: int
    recall: float
    fewest: int
    index_p50_ms: float
    index_p95_ms: float
    exact_p50_ms: float
    exact_p95_ms: float
    words_p95_ms: float
    whole_p50_ms: float
    whole_p95_ms: float


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
    began = time.perf_counter()
    asked = np.concatenate([encoder.encode([query]) for query in queries])
    encode_ms = 1000 * (time.perf_counter() - began) / len(queries)
    with scratch_database() as dsn:
        with console.status(f"filling {people:,} people"):
            fill(dsn, texts, vectors)
        results = [asyncio.run(measure(dsn, spread, queries, asked, people)) for spread in SPREADS]
    table = Table("spread", "at school", title=f"{people:,} people; a query is encoded in {encode_ms:.1f} ms")
    headings = (
        f"recall@{BEST}",
        "fewest",
        "index p50",
        "p95",
        "exact p50",
        "p95",
        "words p95",
        "all p50",
        "p95",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for found in results:
        times = [found.index_p50_ms, found.index_p95_ms, found.exact_p50_ms, found.exact_p95_ms]
        times += [found.words_p95_ms, found.whole_p50_ms, found.whole_p95_ms]
        table.add_row(
            found.spread, f"{found.at_school:,}", f"{found.recall:.3f}", str(found.fewest),
            *(f"{value:.1f}" for value in times),
        )  # fmt: skip
    console.print(table)
    if as_json:
        ratios = {
            f"exact/index at {found.spread}": found.exact_p50_ms / found.index_p50_ms for found in results
        }
        print(
            json.dumps(
                {
                    "benchmark": "text_search",
                    "encode_ms": encode_ms,
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
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("DROP INDEX idx_bio_vectors_embedding")
        ids = [UUID(int=number + 1) for number in range(len(texts))]
        with connection.cursor().copy("COPY profiles (id, profile_type, name, bio) FROM STDIN") as copy:
            for number, (person, text) in enumerate(zip(ids, texts, strict=True)):
                copy.write_row((person, "user", f"Person {number}", text))
        columns = "profile_id, model, embedding"
        with connection.cursor().copy(f"COPY bio_vectors ({columns}) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["uuid", "text", "vector"])
            for person, vector in zip(ids, vectors, strict=True):
                copy.write_row((person, MODEL, vector))
        # As the schema has it; built at once it takes a tenth of the time.
        connection.execute(
            "CREATE INDEX idx_bio_vectors_embedding ON bio_vectors"
            " USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64)"
        )


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
        connection.execute("VACUUM ANALYZE bio_vectors")


async def measure(
    dsn: str, spread: str, queries: list[str], asked: NDArray[np.float32], people: int
) -> SpreadResult:
    """Every query in each of the ways, after a first round that warms the cache."""
    await asyncio.to_thread(spread_over_schools, dsn, SPREADS[spread], people)
    database = await Database.connect(application_dsn(dsn), pool_size=1)
    school = "school 0"
    rows = await database.fetch("SELECT id FROM profiles WHERE school_key = $1", school)
    me = rows[0]["id"]

    async def near(query: str, vector: NDArray[np.float32]) -> list[UUID]:
        async with database.transaction(readonly=True) as connection:
            await connection.fetchrow(sql.tune_bio_search, str(bios.EF_SEARCH))
            found = await connection.fetch(query, vector, MODEL, school, [me], bios.CANDIDATES)
            return [row["profile_id"] for row in found]

    async def words(query: str) -> None:
        async with database.transaction(readonly=True) as connection:
            await connection.fetchrow(sql.tune_bio_search, str(bios.EF_SEARCH))
            await connection.fetch(sql.bios_by_words, query, school, [me], bios.RANKED, bios.CANDIDATES)

    times: dict[str, list[float]] = {"index": [], "exact": [], "words": [], "whole": []}

    async def timed(kind: str, call: Awaitable[list[UUID] | None]) -> list[UUID]:
        began = time.perf_counter()
        found = await call
        times[kind].append(1000 * (time.perf_counter() - began))
        return found or []

    async def whole(query: str, vector: NDArray[np.float32]) -> None:
        await Bios(database).find(query, TextVector(vector, MODEL), by=me, limit=20)

    hits, full, fewest = 0, 0, bios.CANDIDATES
    for again in (False, True):
        for query, vector in list(zip(queries, asked, strict=True))[: None if again else 20]:
            found = await timed("index", near(sql.bios_by_meaning, vector))
            best = await timed("exact", near(sql.bios_by_meaning_exact, vector))
            await timed("words", words(query))
            await timed("whole", whole(query, vector))
            hits += len(set(found[:BEST]) & set(best[:BEST]))
            full += len(best[:BEST])
            fewest = min(fewest, len(found))
        if not again:
            hits, full, fewest = 0, 0, bios.CANDIDATES
            for taken in times.values():
                taken.clear()
    await database.close()
    p50, p95 = ({kind: float(np.quantile(taken, q)) for kind, taken in times.items()} for q in (0.5, 0.95))
    return SpreadResult(
        people=people,
        spread=spread,
        at_school=len(rows),
        recall=hits / full,
        fewest=fewest,
        index_p50_ms=p50["index"],
        index_p95_ms=p95["index"],
        exact_p50_ms=p50["exact"],
        exact_p95_ms=p95["exact"],
        words_p95_ms=p95["words"],
        whole_p50_ms=p50["whole"],
        whole_p95_ms=p95["whole"],
    )


if __name__ == "__main__":
    typer.run(main)
