"""The audit log: what operators change, who did it, and nobody changes the log."""

from __future__ import annotations

import asyncpg
import pytest

from db.api_keys import ApiKeys
from db.profiles import Profiles
from semblance.actor import actor_var
from tests.support.api import Api
from tests.support.console import sign_in


async def test_a_changed_setting_is_recorded_with_what_it_was(api: Api) -> None:
    admin = await api.member("Ada", role="admin")
    user = await sign_in(api)
    session = (await user.call("GET", "/api/console/session")).json()["id"]
    await user.call("PATCH", "/api/admin/settings", json={"match_threshold": 0.6})
    await api.client.patch("/api/admin/settings", json={"match_threshold": 0.7}, headers=admin.headers)
    entries = (await user.call("GET", "/api/admin/audit?action=settings.change")).json()["entries"]
    assert [(entry["actor"], entry["after"]) for entry in entries] == [
        (f"admin:{admin.id}", {"match_threshold": 0.7}),
        (f"console:{session}", {"match_threshold": 0.6}),
    ]
    assert entries[0]["before"] == {"match_threshold": 0.6}
    assert entries[0]["target"] == "match_threshold"


async def test_a_change_that_fails_is_not_recorded(api: Api) -> None:
    user = await sign_in(api)
    names = {"name": "MIT", "domains": ["mit.edu"], "aliases": []}
    assert (await user.call("POST", "/api/admin/schools", json=names)).status_code == 201
    again = await user.call("POST", "/api/admin/schools", json={**names, "name": "Other"})
    assert again.status_code == 409
    entries = (await user.call("GET", "/api/admin/audit?action=school")).json()["entries"]
    assert [(entry["action"], entry["after"]) for entry in entries] == [("school.add", names)]


async def test_a_school_is_recorded_until_it_is_removed(api: Api) -> None:
    user = await sign_in(api)
    names = {"name": "MIT", "domains": ["mit.edu"], "aliases": []}
    school = (await user.call("POST", "/api/admin/schools", json=names)).json()["school"]["id"]
    await user.call("PATCH", f"/api/admin/schools/{school}", json={"aliases": ["M.I.T."]})
    await user.call("DELETE", f"/api/admin/schools/{school}")
    entries = (await user.call("GET", "/api/admin/audit?action=school")).json()["entries"]
    assert [entry["action"] for entry in entries] == ["school.remove", "school.change", "school.add"]
    assert {entry["target"] for entry in entries} == {school}
    assert entries[0]["before"] == {**names, "aliases": ["M.I.T."]}


async def test_commands_are_recorded_without_secrets(api: Api) -> None:
    admin = await api.member("ada")
    user = await sign_in(api)
    actor_var.set("command:ada")
    key, stored = await ApiKeys(api.owner).create("booth", ["compute"])
    await ApiKeys(api.owner).revoke(stored.id)
    await Profiles(api.owner).set_role(admin.email, "admin")
    answer = await user.call("GET", "/api/admin/audit?actor=command")
    assert key not in answer.text
    assert [(entry["action"], entry["target"]) for entry in answer.json()["entries"]] == [
        ("profile.role", str(admin.id)),
        ("api_key.revoke", str(stored.id)),
        ("api_key.create", str(stored.id)),
    ]
    assert answer.json()["entries"][0]["before"] == {"role": "user"}


async def test_the_log_comes_in_pages_and_by_time(api: Api) -> None:
    user = await sign_in(api)
    for number in range(5):
        await user.call("PATCH", "/api/admin/settings", json={"match_threshold": number / 10})
    seen = []
    asked = {"limit": 2, "action": "settings"}
    while True:
        page = (await user.call("GET", "/api/admin/audit", params=asked)).json()
        seen += page["entries"]
        if page["next_cursor"] is None:
            break
        asked["cursor"] = page["next_cursor"]
    assert [entry["after"]["match_threshold"] for entry in seen] == [0.4, 0.3, 0.2, 0.1, 0]
    since = {"since": seen[1]["at"], "action": "settings.change"}
    late = (await user.call("GET", "/api/admin/audit", params=since)).json()["entries"]
    assert late == seen[:2]


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "since=1767225600",
        "since=9999-12-31T23:59:59-14:00",
        "cursor=x",
        "limit=0",
        "action=%00",
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(api: Api, query: str) -> None:
    assert (await (await sign_in(api)).call("GET", f"/api/admin/audit?{query}")).status_code in {400, 422}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'x'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "INSERT INTO audit_log (at, actor, action, target) VALUES (now() - interval '1 day', 'x', 'a.b', '')",
    ],
)
async def test_the_application_adds_to_the_log_and_changes_nothing(service_dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(service_dsn)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()
