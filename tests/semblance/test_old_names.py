"""Variables of the old app are read if ours are unset, reported by their names, and never used silently."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from rich.console import Console

from ops.commands import environment, output
from ops.commands.service import doctor
from ops.stack import preflight
from ops.stack.state import StackState
from semblance.errors import ConfigurationError
from semblance.findings import Finding
from semblance.old_names import NOT_READ, OLD_NAMES, unread
from semblance.settings import PREFIX, Settings, get_settings, variable

VALUES = {
    "database_url": "postgresql://old:hunter2@db.example/app",
    "api_key": "the-old-key",
    "cron_secret": "the-old-cron-secret",
    "jwt_secret": "the-old-secret-of-at-least-32-bytes",
    "supabase_url": "https://abc.supabase.co",
    "supabase_anon_key": "eyJ-anon-key",
    "supabase_service_role_key": "eyJ-service-role-key",
    "picture_link_seconds": "3600",
    "fal_api_key": "fal-key",
}

PAIRS = [(field, name) for field, names in OLD_NAMES.items() for name in names]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX) or name in NOT_READ:
            monkeypatch.delenv(name)


def plain(settings: Settings, field: str) -> str:
    value = getattr(settings, field)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


@pytest.mark.parametrize(("field", "name"), PAIRS)
def test_an_old_name_is_read(monkeypatch: pytest.MonkeyPatch, field: str, name: str) -> None:
    monkeypatch.setenv(name, VALUES[field])
    assert plain(get_settings(), field) == VALUES[field]


@pytest.mark.parametrize(("field", "name"), PAIRS)
def test_ours_wins_in_upper_and_lower_case(monkeypatch: pytest.MonkeyPatch, field: str, name: str) -> None:
    monkeypatch.setenv(name, VALUES[field])
    ours = "https://ours.example" if field == "supabase_url" else VALUES[field].replace("old", "new")
    monkeypatch.setenv(variable(field).lower(), ours)
    assert plain(get_settings(), field) == ours
    # An argument wins over both.
    assert getattr(Settings(**{field: None if field != "picture_link_seconds" else 60}), field) in {None, 60}  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "name"), PAIRS)
def test_an_empty_one_is_unset(monkeypatch: pytest.MonkeyPatch, field: str, name: str) -> None:
    monkeypatch.setenv(name, "")
    assert getattr(get_settings(), field) == Settings.model_fields[field].get_default()
    # An empty variable of ours does not hide it.
    monkeypatch.setenv(name, VALUES[field])
    monkeypatch.setenv(variable(field), "")
    get_settings.cache_clear()
    assert plain(get_settings(), field) == VALUES[field]


def test_every_old_name_belongs_to_one_setting() -> None:
    assert OLD_NAMES.keys() <= Settings.model_fields.keys()
    names = [name for _, name in PAIRS]
    assert len(names) == len(set(names))
    assert not NOT_READ.keys() & set(names)


def test_of_two_names_the_first_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_AI_API_KEY", "second")
    monkeypatch.setenv("FAL_API_KEY", "first")
    assert plain(get_settings(), "fal_api_key") == "first"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("API_KEY", "hunter2", "at least 8 characters"),
        ("SUPABASE_JWT_SECRET", "hunter2", "at least 32 characters"),
        ("SUPABASE_SIGNED_URL_TTL", "hunter2", "integer"),
        ("SUPABASE_SIGNED_URL_TTL", "0", "greater than"),
        ("SUPABASE_URL", "hunter2", "https://project.supabase.co"),
    ],
)
def test_an_invalid_value_is_reported_by_the_name_that_is_set(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{name}: .*{told}") as caught:
        environment.get_settings()
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("url", ["https://abc.supabase.co", "https://abc.supabase.co/"])
def test_the_projects_address_gives_its_keys_and_issuer(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("NEXT_PUBLIC_SUPABASE_URL", url)
    settings = get_settings()
    assert settings.jwt_issuer == "https://abc.supabase.co/auth/v1"
    assert settings.jwt_jwks_url == "https://abc.supabase.co/auth/v1/.well-known/jwks.json"
    monkeypatch.setenv("SEMBLANCE_JWT_ISSUER", "https://auth.example")
    monkeypatch.setenv("SEMBLANCE_JWT_JWKS_URL", "https://auth.example/keys")
    assert (Settings().jwt_issuer, Settings().jwt_jwks_url) == (
        "https://auth.example",
        "https://auth.example/keys",
    )


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "SEMBLANCE_SUPABASE_URL"),
        ({"SUPABASE_URL": "https://abc.supabase.co"}, "SEMBLANCE_SUPABASE_ANON_KEY"),
    ],
)
def test_session_checks_need_an_address(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], missing: str
) -> None:
    for name, value in {**given, "SEMBLANCE_SESSION_CHECK_SECONDS": "60"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"SEMBLANCE_SESSION_CHECK_SECONDS: .*{missing}"):
        get_settings()


def test_a_command_reports_the_names_it_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = io.StringIO()
    monkeypatch.setattr(environment, "errors", Console(file=said))
    environment.get_settings()
    assert said.getvalue() == ""
    monkeypatch.setenv("DATABASE_URL", VALUES["database_url"])
    monkeypatch.setenv("API_KEY", VALUES["api_key"])
    get_settings.cache_clear()
    environment.get_settings()
    assert "DATABASE_URL as SEMBLANCE_DATABASE_URL, API_KEY as SEMBLANCE_API_KEY" in said.getvalue()
    assert "hunter2" not in said.getvalue()
    assert capsys.readouterr().out == ""


def test_a_running_stack_reports_the_names_it_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    content = {
        **dict.fromkeys(("url", "docs_url", "dashboard_url", "ray_address"), "http://127.0.0.1:1"),
        **{"home": str(tmp_path), "database_url": VALUES["database_url"], "api_key": VALUES["api_key"]},
        **{"ray_token_file": str(token), "pid": 1, "ports": {}},
    }
    shown = io.StringIO()
    monkeypatch.setattr(output, "console", Console(file=shown, width=200))
    # Written by a version without old names.
    output.print_state(StackState.model_validate_json(json.dumps(content)), title="Ready")
    assert "Old names" not in shown.getvalue()
    output.print_state(StackState(**content, old_names={"api_key": "API_KEY"}), title="Ready")
    assert "SEMBLANCE_API_KEY from API_KEY" in shown.getvalue()
    assert re.search(r"API key\s+in API_KEY", shown.getvalue())


def findings(settings: Settings) -> dict[str, Finding]:
    checks = [check for check in doctor.CHECKS if check.__name__.endswith("_names")]
    return {finding.text: finding for check in checks for finding in check(settings)}


def test_doctor_names_every_old_variable(monkeypatch: pytest.MonkeyPatch, service_dsn: str) -> None:
    assert findings(Settings()) == {}
    for name, value in {
        "DATABASE_URL": service_dsn,
        "FAL_API_KEY": "first",
        "FAL_AI_API_KEY": "second",
        "API_KEY": "the-old-key",
        "SEMBLANCE_API_KEY": "the-new-key",
        "SUPABASE_ACCESS_TOKEN": "hunter2",
        "NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY": "hunter2",
        "PYTHON_AI_SERVICE_URL": "http://hunter2",
        "PYTHON_AI_SERVICE_TIMEOUT": "5",
        "QDRANT_URL": "http://hunter2",
        "SUPABASE_EMPTY": "",
    }.items():
        monkeypatch.setenv(name, value)
    found = findings(Settings())
    assert "hunter2" not in str(found)
    assert {text: finding.level for text, finding in found.items()} == {
        "SEMBLANCE_DATABASE_URL is read from DATABASE_URL": "ok",
        "SEMBLANCE_FAL_API_KEY is read from FAL_API_KEY": "ok",
        "FAL_AI_API_KEY is ignored: SEMBLANCE_FAL_API_KEY is set otherwise": "ok",
        "API_KEY is ignored: SEMBLANCE_API_KEY is set otherwise": "ok",
        "SUPABASE_ACCESS_TOKEN is set but not read": "warn",
        "NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY is set but not read": "warn",
        "PYTHON_AI_SERVICE_URL is set but not read": "warn",
        "PYTHON_AI_SERVICE_TIMEOUT is set but not read": "warn",
        "QDRANT_URL is set but not read": "warn",
    }
    assert "batch.import_qdrant" in found["QDRANT_URL is set but not read"].fix


def test_unrelated_variables_are_ignored() -> None:
    environment = {
        "PATH": "/bin",
        "NEXT_PUBLIC_ANALYTICS": "x",
        "SEMBLANCE_SUPABASE_URL": "x",
        "FALLBACK": "x",
    }
    assert list(unread(environment)) == []


def test_a_database_named_only_by_an_old_variable_is_not_written(
    monkeypatch: pytest.MonkeyPatch, empty_dsn: str, dsn: str, service_dsn: str
) -> None:
    """Many shells set DATABASE_URL for another application."""

    def levels() -> list[str]:
        return [finding.level for finding in preflight.check_old_names(Settings())]

    monkeypatch.setenv("DATABASE_URL", empty_dsn)
    *_, refusal = preflight.check_old_names(Settings())
    assert refusal.level == "fail"
    assert "DATABASE_URL" in refusal.text
    assert "semblance migrate" in refusal.fix
    # Set by our name, it is intended.
    monkeypatch.setenv("SEMBLANCE_DATABASE_URL", empty_dsn)
    assert levels() == []
    monkeypatch.delenv("SEMBLANCE_DATABASE_URL")
    for migrated in (dsn, service_dsn):
        monkeypatch.setenv("DATABASE_URL", migrated)
        assert levels() == ["ok"]
    assert preflight.check_old_names in preflight.CHECKS
    # Another check covers one that does not answer.
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert levels() == ["ok"]


def test_replicas_read_them_without_logging_their_values(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DATABASE_URL", VALUES["database_url"])
    with caplog.at_level(logging.DEBUG):
        assert "hunter2" not in repr(get_settings())
    assert "hunter2" not in caplog.text
    assert get_settings().without_secrets().database_url is None
