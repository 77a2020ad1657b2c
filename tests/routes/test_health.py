from __future__ import annotations

from tests.support.api import Api


async def test_ready_names_every_part(api: Api) -> None:
    answer = await api.client.get("/ready")
    assert answer.status_code == 200, answer.text
    assert answer.json()["checks"]["database"] == "ok"
