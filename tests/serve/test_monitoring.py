"""A real Prometheus collects the metrics of the running service, and every panel of the dashboard shows
some."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.monitoring import needs_prometheus, prometheus
from tests.support.photos import ASTRONAUT, altered
from tests.support.service import Service
from tests.support.waiting import wait_for
from tools.dashboard import SECTIONS

pytestmark = [pytest.mark.ray, needs_prometheus]


def test_every_panel_shows_values(service: Service, tmp_path: Path) -> None:
    key = service.run("keys", "create", "--name", "Prometheus", "--scope", "metrics").strip()
    token = service.run("token", "create", "--email", "grace@metrics.edu").strip()
    photo = {"file": ("photo.jpg", altered(ASTRONAUT), "image/jpeg")}
    with prometheus(tmp_path, service.url.removeprefix("http://"), key) as server, service.client() as client:
        asked = client.post(
            "/lookalikes", content=ASTRONAUT.read_bytes(), headers={"Content-Type": "image/jpeg"}
        )
        assert asked.status_code == 200, asked.text
        as_user = {"Authorization": f"Bearer {token}"}
        stored = httpx.post(f"{service.url}/api/faces", files=photo, headers=as_user, timeout=60)
        assert stored.status_code == 202, stored.text
        wait_for(lambda: server.is_ready)
        expressions = {
            f"{panel.title} {place}": query.expression.replace("$__rate_interval", "1m").replace(
                "$__range", "1m"
            )
            for panels in SECTIONS.values()
            for panel in panels
            for place, query in enumerate(panel.queries)
        }
        empty = set(expressions)

        def all_are_filled() -> bool:
            for title in [*empty]:
                if server.query(expressions[title]):
                    empty.discard(title)
            return not empty

        try:
            wait_for(all_are_filled)
        except AssertionError:
            pytest.fail(f"without a value: {sorted(empty)}")
        [target] = server.get("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        rules = server.get("rules")["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} == {"ok"}
        assert (
            server.query('sum(semblance_ingested_pictures_total{outcome="ingested"})')[0]["value"][1] != "0"
        )
