from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from pydantic import SecretStr, ValidationError

from ops.commands.service.doctor import CHECKS, _database, _environment
from semblance.findings import Finding
from semblance.settings import Settings
from serve_app.preflight import check_storage


def findings(dsn: str) -> list[Finding]:
    return [
        finding
        for finding in _database(Settings(database_url=SecretStr(dsn)))
        if finding.subject == "Database login"
    ]


def test_a_login_with_too_many_rights_is_reported_with_the_fix(dsn: str) -> None:
    (finding,) = findings(dsn)
    assert finding.level == "warn"
    assert "superuser" in finding.text
    assert "IN ROLE semblance_service" in finding.fix


def test_the_applications_login_is_fine(service_dsn: str) -> None:
    assert [finding.level for finding in findings(service_dsn)] == ["ok"]


def test_a_login_without_rights_is_reported_with_the_fix(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE powerless LOGIN")
        try:
            (finding,) = findings(dsn.replace("//postgres@", "//powerless@"))
        finally:
            connection.execute("DROP ROLE powerless")
    assert finding.level == "fail"
    assert "GRANT semblance_service TO powerless" in finding.fix


def test_an_owner_needs_an_application(dsn: str) -> None:
    owner = SecretStr(dsn)
    with pytest.raises(ValidationError, match="SEMBLANCE_DATABASE_URL"):
        Settings(owner_database_url=owner)
    both = Settings(database_url=SecretStr("postgresql://app@/x"), owner_database_url=owner)
    assert both.migration_database_url == owner
    assert Settings(database_url=owner).migration_database_url == owner
    assert Settings().migration_database_url is None


def test_the_embedded_server_is_not_named_by_a_setting(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = SimpleNamespace(database_url=dsn)
    monkeypatch.setattr("ops.commands.service.doctor.read_state", lambda _home: running)
    (finding,) = _database(Settings(home=tmp_path))
    assert finding.level == "ok"
    assert "the running stack's embedded server answers" in finding.text
    running.database_url = f"{dsn}-gone"
    (finding,) = _database(Settings(home=tmp_path))
    assert finding.level == "fail"
    assert "SEMBLANCE_DATABASE_URL" not in finding.text


def test_the_old_apps_pictures_are_checked_before_the_first_start(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    places = {"faces": (tmp_path / "faces").as_uri(), "celebrities": (tmp_path / "none").as_uri()}
    settings = Settings(home=tmp_path / "home", old_storage=places)
    found = [finding for check in CHECKS for finding in check(settings)]
    old = [finding for finding in found if finding.subject == "Old pictures"]
    assert [finding.level for finding in old] == ["ok", "fail"]
    assert "celebrities" in old[1].text
    assert str(tmp_path / "none") in old[1].fix
    # A problem there is not reported for the picture store.
    settings.home.mkdir()
    assert [finding.level for finding in check_storage(settings)] == ["ok"]


def test_an_address_of_another_ray_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the running stack, which `semblance env` sets, is not."""
    running = SimpleNamespace(ray_address="127.0.0.1:1")
    monkeypatch.setattr("ops.commands.service.doctor.read_state", lambda _home: running)
    settings = Settings(home=tmp_path)
    for address, reported in (("127.0.0.1:1", False), ("127.0.0.1:2", True), ("", False)):
        monkeypatch.setenv("RAY_ADDRESS", address)
        found = [finding for finding in _environment(settings) if finding.subject == "RAY_ADDRESS"]
        assert [finding.level for finding in found] == ["warn"] * reported, address
