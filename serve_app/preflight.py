"""Whether the application can work with its settings, checked before anything is started or deployed.

`semblance up` asks before Ray starts, `build_app` before Serve deploys, a replica of the API on its own node,
and `semblance doctor` at any time. No check writes anything but one small object, which it removes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from db.dsn import DATABASE_SETTING, parse_dsn
from db.migrate import check_server, connect
from db.pool import READ_ONLY
from db.privileges import find_login
from deployments.packs.registry import has_stale_calibration, load_calibration, load_pack
from deployments.writing.moderation import read_words
from semblance.errors import SemblanceError
from semblance.findings import Check, Finding
from semblance.settings import Settings
from semblance.storage.opening import open_location, open_storage
from serve_app.machine import check_disk, check_memory, check_packages

PATIENCE: Final = timedelta(seconds=5)
"""How long a bucket that does not answer is tried; a person waits."""

_OWNER_SETTING: Final = "SEMBLANCE_OWNER_DATABASE_URL"


def check_pack(settings: Settings) -> Iterator[Finding]:
    """The model pack exists, is intact and permitted."""
    if settings.pack_dir is not None and not settings.pack_dir.is_dir():
        text = f"SEMBLANCE_PACK_DIR={settings.pack_dir} is not a folder"
        yield Finding("fail", "Model pack", text, "Name the folder that contains your packs, or unset it.")
    try:
        pack = load_pack(settings)
    except SemblanceError as exc:
        yield Finding("fail", "Model pack", f"SEMBLANCE_PACK={settings.pack} does not load", exc.message)
    else:
        yield Finding("ok", "Model pack", f"{pack.info.pack} is intact, digest {pack.info.digest[:12]}")
        yield _check_calibration(settings, pack.info.digest)


def _check_calibration(settings: Settings, digest: str) -> Finding:
    """The pack's calibration is valid and made for this version of the pack. A pack may do without."""
    try:
        calibration = load_calibration(settings, digest)
        stale = has_stale_calibration(settings, digest)
    except SemblanceError as exc:
        return Finding("fail", "Calibration", "The model pack's calibration cannot be used", exc.message)
    if calibration is not None:
        text = f"measured on {calibration.people:,} people, supports 1 in {calibration.most:,} strangers"
        return Finding("ok", "Calibration", text)
    if stale:
        text = "The model pack's calibration was made for another version and is not used"
        return Finding("warn", "Calibration", text, "Make one: semblance models calibrate FOLDER.")
    return Finding("ok", "Calibration", "the model pack has none: answers have no rarity and no probability")


def check_provider(settings: Settings) -> Iterator[Finding]:
    """This machine can run models as the settings say; on a cluster other nodes may do so."""
    # Slow to import, and loads what a GPU needs.
    from deployments.packs.sessions import available_providers  # noqa: PLC0415

    try:
        available_providers(settings)
    except SemblanceError as exc:
        yield Finding("fail", "Models", "SEMBLANCE_EXECUTION_PROVIDER is not available", exc.message)


def check_database(settings: Settings) -> Iterator[Finding]:
    """Each DSN leads to a server that is new enough and accepts writes. No finding without a DSN."""
    for name, secret in (
        (DATABASE_SETTING, settings.database_url),
        (_OWNER_SETTING, settings.owner_database_url),
    ):
        if secret is not None:
            yield check_dsn(name, secret.get_secret_value())


def check_dsn(name: str, dsn: str) -> Finding:
    """Whether a DSN leads to a server that is new enough and accepts writes; the finding calls it `name`."""
    try:
        parse_dsn(dsn, name)
        check_server(dsn)
        with connect(dsn) as connection:
            row = connection.execute("SELECT current_setting('transaction_read_only') = 'on'").fetchone()
    except SemblanceError as exc:
        return Finding("fail", "PostgreSQL", f"{name} cannot be used", exc.message)
    if row == (True,):
        return Finding("fail", "PostgreSQL", f"{name} cannot be used", READ_ONLY)
    return Finding("ok", "PostgreSQL", f"{name} answers; its version and pgvector's are new enough")


def has_schema(settings: Settings) -> bool:
    """Whether the database has Semblance's schema, of any revision: only the owner may read which.

    Raises ConfigurationError if no database is set, DatabaseError if it does not answer.
    """
    with connect(settings.required_database_url.get_secret_value()) as connection:
        row = connection.execute("SELECT to_regclass('public.system_settings') IS NOT NULL").fetchone()
    return row == (True,)


def check_schema(settings: Settings) -> Iterator[Finding]:
    """A database is set, answers, and has Semblance's schema."""
    try:
        migrated = has_schema(settings)
    except SemblanceError as exc:
        yield Finding("fail", "Database schema", f"{DATABASE_SETTING} cannot be used", exc.message)
        return
    if not migrated:
        text = f"{DATABASE_SETTING} leads to a database without Semblance's schema"
        yield Finding("fail", "Database schema", text, "As its owner: `semblance migrate`.")
    else:
        yield Finding("ok", "Database schema", "exists")


def check_login(settings: Settings) -> Iterator[Finding]:
    """The application's login has its rights and no others. No finding if it cannot log in."""
    if settings.database_url is None:
        return
    try:
        login = find_login(settings.database_url.get_secret_value())
    except SemblanceError:
        return
    if login.excess:
        fix = (
            "CREATE ROLE app LOGIN PASSWORD '…' IN ROLE semblance_service; then let SEMBLANCE_DATABASE_URL "
            "log in as app, and SEMBLANCE_OWNER_DATABASE_URL as the owner, who migrates."
        )
        yield Finding("warn", "Database login", f"the application's, {login.name}, {login.excess}", fix)
    elif not login.is_service:
        text = f"{DATABASE_SETTING}: {login.name} has no right to the application's tables"
        fix = f"As the owner: `semblance migrate`, then GRANT semblance_service TO {login.name}."
        yield Finding("fail", "Database login", text, fix)
    else:
        yield Finding("ok", "Database login", f"{login.name} has the application's rights")


def check_storage(settings: Settings) -> Iterator[Finding]:
    """Pictures can be stored, read and removed."""
    name = "SEMBLANCE_STORAGE_URL" if settings.storage_url else "SEMBLANCE_HOME"
    if settings.storage_url is None and not settings.home.exists():
        yield Finding("ok", "Picture store", f"{settings.home / 'objects'} is created at the first start")
        return
    try:
        # The places of adopted pictures have a separate check.
        storage = open_storage(settings.model_copy(update={"old_storage": {}}), patience=PATIENCE)
        asyncio.run(storage.probe())
    except SemblanceError as exc:
        yield Finding("fail", "Picture store", f"{name} cannot be used for pictures", exc.message)
        return
    where = settings.storage_url or settings.home / "objects"
    yield Finding("ok", "Picture store", f"{where} stores, reads and removes pictures")


def check_old_storage(settings: Settings) -> Iterator[Finding]:
    """Adopted pictures can be read, even before the first start."""
    for table, place in settings.old_storage.items():
        where = place.partition("?")[0]
        try:
            location = open_location(place, settings.max_image_bytes, PATIENCE)
            asyncio.run(location.probe())
        except SemblanceError as exc:
            text = f"SEMBLANCE_OLD_STORAGE: the pictures of {table} in {where} cannot be read"
            yield Finding("fail", "Old pictures", text, exc.message)
        else:
            yield Finding("ok", "Old pictures", f"{where} answers, for {table}")


def check_secrets(settings: Settings) -> Iterator[Finding]:
    """The secrets that `semblance up` would generate are set."""
    if settings.api_key is None:
        fix = "Make a key, the same for all nodes: openssl rand -base64 32."
        yield Finding("fail", "Secrets", "SEMBLANCE_API_KEY is not set", fix)
    if settings.cron_secret is None:
        fix = "Make one: openssl rand -base64 32."
        yield Finding("warn", "Secrets", "SEMBLANCE_CRON_SECRET is not set, so /api/cron/* fails", fix)
    if settings.jwt_secret is None and settings.jwt_jwks_url is None:
        text = "Neither SEMBLANCE_JWT_SECRET nor SEMBLANCE_JWT_JWKS_URL is set, so no user can sign in"
        yield Finding("warn", "Secrets", text, "Set one of them to that of the identity provider.")


def check_babies(settings: Settings) -> Iterator[Finding]:
    """The provider of baby pictures has what it needs."""
    if settings.baby_provider == "fal" and settings.fal_api_key is None:
        fix = "Set SEMBLANCE_FAL_API_KEY, or SEMBLANCE_BABY_PROVIDER=auto."
        yield Finding("fail", "Baby pictures", "SEMBLANCE_BABY_PROVIDER=fal needs a key of fal.ai", fix)


def check_texts(settings: Settings) -> Iterator[Finding]:
    """The settings of suggested texts fit together."""
    name = "Suggested texts"
    if settings.text_url is None:
        for setting, given in (
            ("SEMBLANCE_TEXT_API_KEY", settings.text_api_key is not None),
            ("SEMBLANCE_TEXT_MODERATION=provider", settings.text_moderation == "provider"),
        ):
            if given:
                fix = f"Set SEMBLANCE_TEXT_URL, for OpenAI to https://api.openai.com/v1, or unset {setting}."
                yield Finding("warn", name, f"{setting} has no effect without a server of texts", fix)
    if settings.text_blocked_words is not None:
        try:
            read_words(settings.text_blocked_words)
        except SemblanceError as exc:
            yield Finding("fail", name, "SEMBLANCE_TEXT_BLOCKED_WORDS cannot be used", exc.message)


BEFORE_START: Final[tuple[Check, ...]] = (
    check_pack,
    check_provider,
    check_database,
    check_storage,
    check_old_storage,
    check_babies,
    check_texts,
)
"""Before a stack starts, which creates a database if none is set, migrates it, and generates secrets."""

BEFORE_DEPLOYMENT: Final[tuple[Check, ...]] = (
    check_pack,
    check_database,
    check_schema,
    check_login,
    check_secrets,
    check_storage,
    check_old_storage,
    check_babies,
    check_texts,
)
"""Before Serve deploys: from here on nothing is created automatically."""

BEFORE_SERVING: Final[tuple[Check, ...]] = (check_schema, check_secrets)
"""In each replica of the API, on its own node: without these it cannot serve, while much of it works without
room for new pictures."""

WHILE_RUNNING: Final[tuple[Check, ...]] = (
    check_packages,
    check_pack,
    check_provider,
    check_disk,
    check_memory,
    check_database,
    check_login,
    check_storage,
    check_old_storage,
    check_babies,
    check_texts,
)
"""In a replica of the API, when an operator asks."""
