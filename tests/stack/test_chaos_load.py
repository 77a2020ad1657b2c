"""What the load of `make chaos` counts as a fault, and when it considers everything healed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.chaos.__main__ import ChaosResult, _one
from benchmarks.chaos.events import missing
from benchmarks.chaos.load import BUSY, OK, REFUSED, Answer, Load, counted, faults, well_since
from ops.stack.home import StackHome
from tests.support.http_server import QuietHandler, serving
from tests.support.waiting import wait_for


class FakeApi(QuietHandler):
    """Answers as configured by its attributes."""

    status = 200
    headers_sent: tuple[tuple[str, str], ...] = ()
    body = b"{}"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        for name, value in self.headers_sent:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.body)

    def do_POST(self) -> None:
        self.do_GET()


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(FakeApi, "status", 200)
    with serving(FakeApi) as address:
        yield address


@pytest.mark.parametrize(
    ("answer", "seen", "is_fault"),
    [
        ((202, (), b"{}"), OK, False),
        ((503, (("Retry-After", "2"),), b'{"error": "Not ready."}'), BUSY, False),
        ((503, (), b'{"error": "Not ready."}'), "503 out of shape", True),
        ((503, (("Retry-After", "2"),), b"no server"), "503 out of shape", True),
        ((404, (), b"Not Found"), "404 out of shape", True),
        ((500, (), b""), "500 out of shape", True),
        ((400, (), b'{"code": "duplicate_picture"}'), "400 duplicate_picture", True),
    ],
)
def test_answers_are_judged(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, tuple[tuple[str, str], ...], bytes],
    seen: str,
    is_fault: bool,
) -> None:
    for name, value in zip(("status", "headers_sent", "body"), answer, strict=True):
        monkeypatch.setattr(FakeApi, name, value)
    with Load(url, uploaders=1, readers=1, pause_s=0.01) as load:
        wait_for(lambda: {answer.kind for answer in load.answers} == {"upload", "read"})
    first = {answer.kind: answer.seen for answer in reversed(load.answers)}
    assert first == {"upload": seen, "read": seen}
    assert (faults(counted(load.answers)) != []) is is_fault
    assert bool(load.accepted) is (seen == OK)


def test_a_stopped_server_counts_as_refusing() -> None:
    with Load("http://127.0.0.1:1", uploaders=1, readers=1, pause_s=0.01) as load:
        wait_for(lambda: len(load.answers) >= 2)
    assert set(counted(load.answers)) == {REFUSED}
    assert faults(counted(load.answers)) == []


def test_all_is_healed_once_uploads_and_reads_are_answered_again() -> None:
    before = [Answer("read", OK, 0, 1), Answer("upload", BUSY, 1, 2), Answer("read", OK, 3, 4)]
    assert well_since(before, 0.5) is None
    assert well_since([*before, Answer("upload", OK, 3, 5)], 0.5) == 2
    assert well_since([*before, Answer("upload", OK, 1.5, 5)], 0.5) is None


def test_a_fault_that_hits_nothing_is_not_healed(tmp_path: Path) -> None:
    home = StackHome(tmp_path.resolve())
    assert missing(["gateway", "store-gone", "api-stop"], home) == ["gateway", "api-stop"]
    outcome = _one("gateway", Load("http://127.0.0.1:1"), home, Console(quiet=True))
    assert outcome.healed is None
    assert not ChaosResult([outcome], {}, 1, {}).holds
