"""Three Ray nodes: Ray jobs run across them while Serve answers, and one node is lost half way."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest

from db.logins import application_dsn
from db.pool import Database
from deployments.packs.registry import load_pack
from semblance.settings import Settings
from tests.support.photos import ASTRONAUT
from tests.support.pictures import gallery
from tests.support.ray_nodes import RayCluster
from tests.support.rows import embeddings
from tests.support.rows_matching import add_celebrities, add_person, varied

PICTURES = 20
READY = 8
"""Pictures available before the node is lost: more than `WORKERS` hold at once, but not all."""

WORKERS = 3
BATCH = 2

SCHOOLS = 4
USERS = 40
CELEBRITIES = 100

CLIENTS = 4
READ, EMBED = "/api/matches/top", "/extract-embedding"
PHOTO = {"file": ASTRONAUT.read_bytes()}
API_KEY = "smb_cluster"
KEY = {"Authorization": f"Bearer {API_KEY}"}
PATIENCE_S = 120.0

TWICE = {"num_replicas": 2, "max_replicas_per_node": 1, "ray_actor_options": {"num_cpus": 0}}
AT_THE_HEAD = {
    "num_replicas": 1,
    "ray_actor_options": {"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}},
}
REPLICAS = {
    "API": TWICE,
    "Detector": TWICE,
    "Embedder": AT_THE_HEAD,
    "Analyzer": AT_THE_HEAD,
    "Matcher": AT_THE_HEAD,
    "Writer": AT_THE_HEAD,
}

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


class PictureServer:
    """Pictures over HTTP, the first few at once, the others when they are released."""

    def __init__(self, folder: Path, ready: int) -> None:
        outer = self
        self.waiting = 0
        self._released = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = (folder / self.path.lstrip("/")).read_bytes()
                self.wfile.write(b"HTTP/1.0 200 OK\r\n")
                if int(Path(self.path).stem) >= ready:
                    outer.waiting += 1
                    # A client gives up after half a minute of silence.
                    while not outer._released.wait(2):
                        self.wfile.write(b"X-Wait: a moment\r\n")
                    outer.waiting -= 1
                self.wfile.write(f"Content-Length: {len(content)}\r\n\r\n".encode() + content)

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that was killed does not wait for its answer."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def release(self) -> None:
        self._released.set()

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True, slots=True)
class ClusterAnswer:
    """One request. began, ended: monotonic time. status: 0 without an answer."""

    path: str
    began: float
    ended: float
    status: int


@contextmanager
def clients(url: str) -> Iterator[list[ClusterAnswer]]:
    """CLIENTS clients that send requests for as long as the context lasts, each one at a time."""
    answers: list[ClusterAnswer] = []
    end = threading.Event()

    def ask(path: str) -> None:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            while not end.wait(0.1):
                began, status = time.monotonic(), 0
                with suppress(httpx.TransportError):
                    answer = (
                        client.get(READ) if path == READ else client.post(EMBED, headers=KEY, files=PHOTO)
                    )
                    status = answer.status_code
                answers.append(ClusterAnswer(path, began, time.monotonic(), status))

    threads = [threading.Thread(target=ask, args=((READ, EMBED)[number % 2],)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        end.set()
        for thread in threads:
            thread.join()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"did not happen: {what}"
        time.sleep(0.02)


async def fill(dsn: str) -> None:
    """Users who have not been matched yet, and some celebrities."""
    digest = load_pack(Settings()).info.digest
    random = np.random.default_rng(0)
    database = await Database.connect(dsn, pool_size=1)
    for number, embedding in enumerate(embeddings(USERS, seed=5)):
        await add_person(
            database,
            school=f"school {number % SCHOOLS}",
            gender="male" if number // SCHOOLS % 2 else "female",
            face={
                "embedding": embedding,
                "pack_digest": digest,
                "age": int(random.integers(18, 40)),
                "symmetry_score": float(random.uniform(0.5, 1)),
            },
        )
    await add_celebrities(database, *(replace(row, pack_digest=digest) for row in varied(CELEBRITIES)))
    await database.execute("DELETE FROM match_jobs")
    await database.close()


def manifest(file: Path, pictures: Path, url: str) -> Path:
    """The pictures of a folder by their addresses."""
    entries = json.loads((pictures / "metadata.json").read_text())["celebrities"]
    rows = [
        {"image": f"{url}/{entry['category']}/{entry['filename']}", "category": entry["category"]}
        for entry in entries
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def tables(dsn: str) -> dict[str, list[dict[str, Any]]]:
    """The gallery and all matches, without what differs from run to run."""
    left_out = {"created_at", "updated_at", "analyzed_at"}
    queries = {
        "celebrities": ("SELECT * FROM celebrities ORDER BY id", left_out),
        "matches": ("SELECT * FROM matches ORDER BY face_a_id, face_b_id", {*left_out, "id"}),
        "celebrity_matches": (
            "SELECT * FROM celebrity_matches ORDER BY face_id, celebrity_id",
            {*left_out, "id"},
        ),
    }
    with psycopg.connect(dsn, row_factory=psycopg.rows.dict_row) as connection:
        return {
            table: [
                {
                    # The last digit of a factor may depend on where in a block the face was.
                    name: round(value, 9) if isinstance(value, float) else value
                    for name, value in row.items()
                    if name not in names
                }
                for row in connection.execute(query).fetchall()
            ]
            for table, (query, names) in queries.items()
        }


def is_blocked(dsn: str) -> bool:
    """Whether somebody waits for a lock in this database."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return found.fetchone() is not None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PictureServer]:
    running = PictureServer(gallery(tmp_path / "pictures", PICTURES), READY)
    yield running
    running.close()


@pytest.fixture
async def databases(dsn: str, copy_database: Callable[[], str]) -> tuple[str, str]:
    """Two databases with the same users, by the login of the application."""
    await fill(dsn)
    return application_dsn(dsn), application_dsn(copy_database())


@pytest.fixture
def cluster(databases: tuple[str, str], tmp_path: Path) -> Iterator[RayCluster]:
    """The head alone."""
    settings = {"SEMBLANCE_DATABASE_URL": databases[0], "SEMBLANCE_API_KEY": API_KEY}
    running = RayCluster(tmp_path / "home", settings)
    try:
        running.start()
        yield running
    finally:
        running.close()


def job(cluster: RayCluster, folder: Path, dsn: str, *command: str) -> Callable[[], None]:
    """Start a job that keeps its files in this folder; returns a function that waits for its success."""
    log = folder / f"{command[0]}.log"
    process = cluster.run(log, *command, SEMBLANCE_HOME=str(folder / "home"), SEMBLANCE_DATABASE_URL=dsn)

    def succeed() -> None:
        assert process.wait(PATIENCE_S) == 0, log.read_text()

    return succeed


def test_a_lost_node_loses_no_row_and_no_request(
    cluster: RayCluster, databases: tuple[str, str], server: PictureServer, dsn: str, tmp_path: Path
) -> None:
    """The node is lost while a worker analyzes photos there, while a rematch waits to write its results,
    and while replicas of the API and the detector answer there."""
    source = manifest(tmp_path / "manifest.jsonl", tmp_path / "pictures", server.url)
    bounds = ("--batch-size", str(BATCH), "--actors", str(WORKERS))
    ingest = ("batch.ingest", str(source), "--allow-private-hosts", *bounds)
    rematch = ("batch.rematch", "--shard-size", "5")
    first, second = (tmp_path / name for name in ("first", "second"))
    first.mkdir()
    second.mkdir()

    doomed = cluster.add_node()
    doomed.wait()
    cluster.deploy(REPLICAS)
    cluster.add_node().wait()
    assert all(doomed.runs(f"ServeReplica:semblance:{name}") for name in ("API", "Detector"))

    with clients(cluster.url) as answers, psycopg.connect(dsn) as gate:
        ingested = job(cluster, first, databases[0], *ingest)
        wait_for(lambda: server.waiting == WORKERS * BATCH, "every worker waits for pictures")
        assert doomed.runs("IngestWorker")
        assert len(tables(dsn)["celebrities"]) > CELEBRITIES
        gate.execute("SELECT FROM faces FOR UPDATE")
        rematched = job(cluster, first, databases[0], *rematch)
        wait_for(lambda: is_blocked(dsn), "the rematch waits to write")
        lost = time.monotonic()
        doomed.lose()
        gone = time.monotonic()
        gate.rollback()
        server.release()
        rematched()
        ingested()

    found = tables(databases[0])
    # Which celebrities a face has depends on how much of the gallery was there, so run it again.
    again = job(cluster, first, databases[0], *rematch)
    for command in (ingest, rematch):
        job(cluster, second, databases[1], *command)()
    again()
    expected = tables(databases[1])
    assert all(expected.values())
    for table in ("celebrities", "matches"):
        assert found[table] == expected[table], table
    name = "celebrity_matches"
    assert {row["face_id"] for row in found[name]} == {row["face_id"] for row in expected[name]}
    assert tables(databases[0])[name] == expected[name]

    failed = [answer for answer in answers if answer.status != 200]
    assert {answer.path for answer in answers if answer.began > gone} >= {READ, EMBED}
    # Only requests in progress on the node are lost with it, at most one of each client.
    assert len(failed) <= CLIENTS
    assert [answer for answer in failed if answer.began > gone or answer.ended < lost] == []
