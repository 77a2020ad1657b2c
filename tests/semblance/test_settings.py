"""A setting is read, refused by name, or absent. None is silently ignored."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr, ValidationError

from ops.commands.environment import get_settings as command_settings
from semblance.errors import BusyClientError, ConfigurationError, OverloadedError
from semblance.settings import Settings, get_settings, variable
from semblance.storage.opening import open_storage
from serve_app.limits import Client, FairShare

FIELDS = list(Settings.model_fields)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FIELDS:
        monkeypatch.delenv(variable(name), raising=False)


@pytest.mark.parametrize("name", FIELDS)
def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(variable(name), "")
    assert getattr(command_settings(), name) == Settings.model_fields[name].get_default()


def test_home_may_begin_with_a_tilde_for_everything_that_is_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SEMBLANCE_HOME", "~/faces")
    assert command_settings().home == tmp_path / "faces"
    get_settings.cache_clear()
    monkeypatch.setenv("SEMBLANCE_HOME", "~nobody-of-this-name/faces")
    with pytest.raises(ConfigurationError, match="no home directory"):
        command_settings()


@pytest.mark.parametrize("name", ["api_key", "jwt_secret", "cron_secret"])
@pytest.mark.parametrize("value", [" ", "hunter2"])
def test_short_secrets_are_refused_without_showing_them(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(variable(name), value)
    with pytest.raises(ConfigurationError, match=f"{variable(name)}.*characters") as caught:
        command_settings()
    assert "hunter2" not in caught.value.message
    with pytest.raises(ValidationError):
        Settings.model_validate({name: SecretStr("")})


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.9, 1.0])
def test_one_client_can_upload_the_largest_picture(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    def fits(size: int) -> bool:
        body, fair = 1500, FairShare(size, share, what="Bytes")
        try:
            for part in (body // 2, body // 2):
                fair.take(Client("user", "ada"), part)
        except (BusyClientError, OverloadedError):
            return False
        return True

    monkeypatch.setenv("SEMBLANCE_MAX_IMAGE_BYTES", "1000")
    monkeypatch.setenv("SEMBLANCE_CLIENT_SHARE", str(share))
    least = next(size for size in range(1, 10_000) if fits(size))
    monkeypatch.setenv("SEMBLANCE_MAX_UPLOAD_BYTES", str(least))
    assert command_settings().max_upload_bytes == least
    get_settings.cache_clear()
    monkeypatch.setenv("SEMBLANCE_MAX_UPLOAD_BYTES", str(least - 1))
    with pytest.raises(ConfigurationError, match=r"SEMBLANCE_MAX_UPLOAD_BYTES: .*SEMBLANCE_MAX_IMAGE_BYTES"):
        command_settings()


def test_the_largest_picture_is_checked_against_default_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMBLANCE_MAX_IMAGE_BYTES", str(1024**3))
    with pytest.raises(ConfigurationError, match=r"SEMBLANCE_MAX_UPLOAD_BYTES: .*SEMBLANCE_MAX_IMAGE_BYTES"):
        command_settings()


def test_all_errors_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "SEMBLANCE_PORT": "many",
        "SEMBLANCE_JWT_SECRET": "short",
        "SEMBLANCE_LOG_FORMAT": "xml",
        "SEMBLANCE_OWNER_DATABASE_URL": "postgresql://u@h/db",
        "SEMBLANCE_DATABSE_URL": "postgresql://u:hunter2@h/db",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        command_settings()
    assert len(caught.value.message.splitlines()) == len(wrong)
    assert all(name in caught.value.message for name in wrong)
    assert "hunter2" not in caught.value.message
    assert "Value error" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SEMBLANCE_DATABSE_URL", "SEMBLANCE_DATABASE_URL"),
        ("SEMBLANCE_STORAGE", "SEMBLANCE_STORAGE_URL"),
        ("SEMBLANCE_APIKEY", "SEMBLANCE_API_KEY"),
        ("semblance_prot", "SEMBLANCE_PORT"),
        ("SEMBLANCE_CORS_ORIGIN", "SEMBLANCE_CORS_ORIGINS"),
        ("SEMBLANCE_WHAT_IS_THIS", "docs/settings.md"),
    ],
)
def test_an_unknown_name_is_refused_by_commands_and_logged_by_replicas(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "hunter2")
    with pytest.raises(ConfigurationError, match=meant):
        command_settings()
    with caplog.at_level(logging.WARNING):
        get_settings()
    assert name in caplog.text
    assert meant in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    "name", ["SEMBLANCE_URL", "SEMBLANCE_KEY", "SEMBLANCE_STACK", "SEMBLANCE_SMOKE_TOKEN", "semblance_port"]
)
def test_names_that_something_reads_are_known(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    command_settings()


def test_no_regular_expression_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    patterned = {
        name: pattern
        for name, field in Settings.model_fields.items()
        for pattern in [part.pattern for part in field.metadata if getattr(part, "pattern", None)]
    }
    assert "fal_url" in patterned
    for name in patterned:
        monkeypatch.setenv(variable(name), "://")
    with pytest.raises(ConfigurationError) as caught:
        command_settings()
    for name, pattern in patterned.items():
        assert variable(name) in caught.value.message
        assert pattern not in caught.value.message


def test_an_example_is_valid() -> None:
    for name, field in Settings.model_fields.items():
        for example in field.examples or []:
            assert getattr(Settings.model_validate({name: example}), name) == example


def test_empty_variables_of_a_bucket_are_unset_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bucket: str
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")
    storage = open_storage(Settings(home=tmp_path, storage_url=bucket))
    storage.put_sync("probe.jpg", b"1", "image/jpeg")
    assert "Security-Token=&" not in storage.signed_url("probe.jpg", timedelta(minutes=1)) + "&"


NUMBERS = [
    name
    for name, field in Settings.model_fields.items()
    if {int, float} & {field.annotation, *get_args(field.annotation)} and field.annotation is not bool
]


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e300", "9" * 20, "-1"])
@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_bounds(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A deadline of `inf` passed all checks, and every photo failed."""
    monkeypatch.setenv(variable(name), value)
    with pytest.raises(ConfigurationError, match=rf"{variable(name)}: "):
        get_settings()


def test_all_numbers_are_found() -> None:
    assert {"image_deadline_s", "threads", "session_check_seconds", "trace_sampling"} <= set(NUMBERS)
