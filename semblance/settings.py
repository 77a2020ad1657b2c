"""All settings, each with its description. Nothing else reads the environment."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from semblance.errors import ConfigurationError
from semblance.old_names import taken
from semblance.picture_tables import PictureTable
from semblance.protocol import BODY_OVERHEAD

logger = logging.getLogger(__name__)

PREFIX = "SEMBLANCE_"

OTHER_VARIABLES = re.compile(r"SEMBLANCE_(STACK|RAY_JOB|URL|KEY|SMOKE_.*|TEST_.*)")
"""Variables with the prefix that are not settings: the mark of a stack's processes, the id of a Ray job, what
`semblance env` sets for requests, the tokens of `semblance smoke`, and what tests read."""

_LEAST_SECRET = 8
"""Fewest characters of a secret that a person chose, against mistakes; generated ones have 43."""

_CENTURY_DAYS = 36_525
"""Longest time that anything is kept by its age: a limit of calendars and intervals, and against mistakes."""

_SENTRY_DSN = re.compile(r"https?://[^\s:@/]+@[^\s@]+/\d+")

_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9a-f:]+\]")

_PLACE = re.compile(
    r"file:///[^?#]*|s3://[^/?#@:]+(/[^?#]*)?(\?((endpoint=https?://[^&#@?]+|region=[\w-]+|variables=\w+)(&|$))+)?"
)

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d+)?")


class _OldNames(PydanticBaseSettingsSource):
    """The old app's variables, for settings that nothing else sets."""

    def __call__(self) -> dict[str, Any]:
        return {field: os.environ[name] for field, name in taken(os.environ, PREFIX).items()}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("All fields are read at once.")


class Settings(BaseSettings):
    """Read from the environment with the prefix `SEMBLANCE_`, such as `SEMBLANCE_PACK=buffalo_l`; by default
    from the old app's variables (`semblance.old_names`)."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="ignore",
        frozen=True,
        # Shells and compose files leave unset variables empty.
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    home: Path = Field(
        Path(".semblance"),
        description="Folder of all local state: database, objects, keys, logs. One stack per folder.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL DSN (>= 15 with pgvector >= 0.8). Unset: the embedded server of `home`.",
    )
    owner_database_url: SecretStr | None = Field(
        None,
        description="DSN of the same database for its owner, who migrates it; `database_url` can then be a "
        "login with fewer rights, a member of the role semblance_service. Unset: it is the owner's.",
    )
    database_pool_size: int = Field(10, ge=1, le=1000, description="Connections per API replica.")
    api_key: SecretStr | None = Field(
        None,
        min_length=_LEAST_SECRET,
        description="Service key of the face-compute endpoints. Unset: generated once, kept in `home`.",
    )
    jwt_secret: SecretStr | None = Field(
        None,
        min_length=32,  # RFC 7518 requires it for HS256; with an empty secret anyone could sign.
        description="HS256 secret of users' access tokens. Unset: generated once, kept in `home`.",
    )
    jwt_jwks_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]",
        examples=["https://project.supabase.co/auth/v1/.well-known/jwks.json"],
        description="Where the identity provider publishes its keys for RS256 and ES256; on Supabase "
        "https://PROJECT.supabase.co/auth/v1/.well-known/jwks.json. Unset: HS256 only.",
    )
    jwt_audience: str = Field("authenticated", description="`aud` of users' access tokens.")
    jwt_issuer: str | None = Field(None, description="`iss` of users' access tokens. Unset: not checked.")
    supabase_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#@]+$",
        examples=["https://project.supabase.co"],
        description="The Supabase project whose users sign in here. Gives jwt_jwks_url and jwt_issuer where "
        "they are not set.",
    )
    supabase_anon_key: SecretStr | None = Field(
        None,
        min_length=_LEAST_SECRET,
        description="The project's anon (publishable) key, with which Supabase is asked for users.",
    )
    supabase_service_role_key: SecretStr | None = Field(
        None,
        min_length=_LEAST_SECRET,
        description="The project's service role (secret) key. Needed only where its scheduler still calls "
        "/functions/v1 (`compat`), or without an anon key to ask for users.",
    )
    session_check_seconds: float | None = Field(
        None,
        ge=1,
        le=86_400,
        description="Ask Supabase whether a user's session still exists, at most once in so many seconds for "
        "each session and replica. Unset: a token is good until it ends, or is signed out of here.",
    )
    cron_secret: SecretStr | None = Field(
        None,
        min_length=_LEAST_SECRET,
        description="Secret of /api/cron/*. Unset: generated once, kept in `home`.",
    )
    host: str = Field("127.0.0.1", description="Address the HTTP API binds to.")
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#@][^\s?#@]*$",
        examples=["https://faces.example"],
        description="Address under which clients reach the API. Unset: the one each request used, in its "
        "Host header.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins of browser apps that may call the API, like https://app.example; several "
        "separated by commas, * for all. Empty: none of another origin.",
    )
    compat: Literal["2025"] | None = Field(
        None,
        description="Answer clients of the app of that year as it did, where that differs "
        "(docs/compat.md). Unset: none of that exists.",
    )
    port: int = Field(0, ge=0, le=65535, description="Port of the HTTP API; 0 picks a free one.")
    tls_certificate: Path | None = Field(
        None,
        description="PEM file of a certificate, those that lead to its root, and its key. With it the "
        "gateway also speaks HTTPS and HTTP/2. Unset: plain HTTP only.",
    )
    tls_host: str = Field("0.0.0.0", description="Address that HTTPS binds to.")  # noqa: S104 (it is for all)
    tls_port: int = Field(8443, ge=1, le=65535, description="Port of HTTPS.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names by which clients may call the service, like app.example; several separated by "
        "commas. Empty: any.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses or networks of load balancers in front, whose X-Forwarded-For names the "
        "client; several separated by commas, like 10.0.0.0/8.",
    )
    client_connections: int = Field(
        128,
        ge=1,
        le=1_000_000,
        description="Connections of one client address that ask at once; more get 429.",
    )
    client_requests_per_second: int = Field(
        100,
        ge=1,
        le=1_000_000,
        description="Requests of one client address, on average over ten seconds; more get 429.",
    )
    client_uploads: int = Field(
        16, ge=1, le=1_000_000, description="Uploads of one client address under way at once; more get 429."
    )
    dashboard_port: int = Field(
        0, ge=0, le=65535, description="Port of the Ray dashboard; 0 picks a free one."
    )

    pack: str = Field("open", description="Model pack: a name under a pack folder, or a path.")
    pack_dir: Path | None = Field(
        None,
        description="Folder of packs by name. Unset: `home`/packs, then ~/.insightface/models.",
    )
    accept_noncommercial: bool = Field(
        False, description="Agree to packs whose weights are licensed for non-commercial use only."
    )
    calibration: Path | None = Field(
        None,
        description="File that says what similarities of the pack mean, written by `semblance models "
        "calibrate`. Default: calibration.json in the pack's folder, if it exists.",
    )
    execution_provider: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="onnxruntime provider; auto is CUDA where present, then CPU."
    )
    threads: int = Field(
        1,
        ge=1,
        le=1024,
        description="Threads of one onnxruntime session. With 1, two still find the faces of a photo that "
        "comes alone.",
    )

    max_image_bytes: int = Field(
        25 * 1024 * 1024,  # A phone's photo of 48 MP.
        ge=1,
        le=1024**3,  # The most that gRPC, which carries pictures between replicas, can be configured for.
        description="Largest accepted picture file.",
    )
    max_image_pixels: int = Field(
        50_000_000, ge=1, le=178_000_000, description="Largest accepted width x height."
    )
    image_deadline_s: float = Field(
        10.0,
        gt=0,
        le=3600,
        description="Seconds after which a picture that is still being decoded is refused, with 503 if the "
        "machine had no time for it. The largest and slowest that are accepted take two on an idle core. In "
        "jobs, which no client waits for, these are seconds of a core.",
    )
    image_memory_bytes: int = Field(
        1024 * 1024 * 1024,
        ge=256 * 1024 * 1024,
        le=1024**4,
        description="Most memory of a process that decodes pictures; each detector has one. The largest that "
        "are accepted take 400 MB.",
    )
    max_faces: int = Field(
        64, ge=1, le=1024, description="Most faces analyzed in one picture, largest first."
    )
    max_ingestion_bytes: int = Field(
        4 * 1024**3,
        ge=1,
        le=1024**5,
        description="Most bytes of the files that operators upload for one ingestion, archives as they are "
        "sent and as they are unpacked.",
    )
    ingest_roots: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="What jobs that operators start over HTTP may read: folders on the server and s3:// "
        "prefixes, with all below them; several separated by commas. Empty: only what operators upload.",
    )
    max_inflight: int = Field(
        64, ge=1, le=100_000, description="Face requests one API replica works on; more are refused with 503."
    )
    max_batch_photos: int = Field(
        16,
        ge=1,
        le=10_000,
        description="Most photos of one call of /analyze-faces/batch. Each counts as a face request, so that "
        "a client can never send more than max_inflight and client_share leave to it.",
    )
    client_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Part of max_inflight and max_upload_bytes that one user or key can count on. A client "
        "gets more only while as much stays free for others, else 429.",
    )
    max_upload_bytes: int = Field(
        1024**3,
        ge=1,
        le=1024**4,
        description="Bytes of pictures one API replica holds until they are answered, those included that "
        "still arrive; more are refused with 503.",
    )
    max_uploads_per_user: int = Field(
        8,
        ge=1,
        le=100_000,
        description="Pictures of one user that arrive at once; more are refused with 429.",
    )

    refuse_several_faces: bool = Field(
        False,
        description="Refuse a user's photo that shows several people; otherwise the largest face is taken.",
    )

    face_search: bool = Field(
        False,
        description="Let admins, and API keys of the scope `search`, search among users' faces by a photo.",
    )
    face_searches_kept_days: float = Field(
        365.0, ge=30, le=_CENTURY_DAYS, description="How long the records of these searches are kept."
    )

    realtime_max_sockets: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Realtime connections one API replica holds; more are refused with 503. The last quarter "
        "is for those who have signed in.",
    )
    realtime_max_sockets_per_profile: int = Field(
        10,
        ge=1,
        le=1_000_000,
        description="Realtime connections of one user on one API replica; more are refused with 429.",
    )

    match_lease_seconds: float = Field(
        30.0,
        gt=0,
        le=86_400,
        description="How long a match job stays with a worker that is not heard of; then another takes it.",
    )
    match_jobs_kept_days: float = Field(
        30.0, gt=0, le=_CENTURY_DAYS, description="How long finished match jobs are kept."
    )
    notifications_kept_days: float = Field(
        365.0, ge=1, le=_CENTURY_DAYS, description="How long users' notifications are kept, read or not."
    )
    generation_logs_kept_days: float = Field(
        365.0,
        ge=90,
        le=_CENTURY_DAYS,
        description="How long the records of calls of picture and text providers are kept.",
    )

    baby_provider: Literal["auto", "fal", "local"] = Field(
        "auto",
        description="Who makes baby pictures: fal.ai, or OpenCV on this machine; auto is fal with a key.",
    )
    fal_api_key: SecretStr | None = Field(
        None, min_length=1, description="Key of fal.ai, as its dashboard shows it."
    )
    fal_url: str = Field(
        "https://fal.run",
        pattern=r"^https?://[^/?#@]+$",
        examples=["https://fal.run"],
        description="Where fal's models are called.",
    )
    fal_model: str = Field(
        "fal-ai/flux/dev",
        pattern=r"^[\w.-]+(/[\w.-]+)*$",
        examples=["fal-ai/flux/dev"],
        description="Its model. This one paints from the text alone; fal-ai/flux/dev/image-to-image starts "
        "from a parent's photo.",
    )
    fal_deadline_s: float = Field(
        120, gt=0, le=240, description="Seconds for one picture, with all retries and its download."
    )

    text_url: str | None = Field(
        None,
        pattern=r"^https?://[^?#@\s]+$",
        examples=["https://api.openai.com/v1"],
        description="Server of OpenAI's protocol that writes suggested texts, with its /v1. Unset: "
        "templates, written on this machine.",
    )
    text_api_key: SecretStr | None = Field(None, min_length=1, description="Its key, if it asks for one.")
    text_model: str = Field("gpt-4o-mini", min_length=1, description="Its model.")
    text_deadline_s: float = Field(60, gt=0, le=600, description="Seconds for one text.")
    text_daily_tokens: int = Field(
        50_000,
        ge=0,
        le=1_000_000_000,
        description="Tokens that the texts of one user may use a day (UTC), prompts included.",
    )
    text_moderation: Literal["words", "provider"] = Field(
        "words",
        description="Who judges texts before they are shown: a list of words, or also the server's "
        "/moderations.",
    )
    text_blocked_words: Path | None = Field(
        None,
        description="File of words and phrases that no text may contain, one a line, besides those known.",
    )
    text_pack: Path | None = Field(
        None,
        description="Folder of the text pack by which people are found (docs/text.md). Unset: the one that "
        "ships.",
    )
    text_embedding_model: str | None = Field(
        None,
        min_length=1,
        examples=["text-embedding-3-small"],
        description="Model of `text_url`'s /embeddings by which people are found. Unset: the text pack.",
    )
    text_jobs_kept_days: float = Field(
        30.0,
        gt=0,
        le=_CENTURY_DAYS,
        description="How long finished jobs of texts are kept, and drafts that nobody sends.",
    )

    storage_url: str | None = Field(
        None,
        description="Where pictures are kept: file:///folder or s3://bucket/prefix. Unset: `home`/objects.",
    )
    picture_link_seconds: int = Field(
        24 * 3600,
        ge=60,
        le=7 * 24 * 3600,  # The longest that a bucket signs for (AWS Signature Version 4).
        description="Longest life of a picture's signed link; at least half of it is left when it is given.",
    )
    old_storage: Annotated[dict[PictureTable, str], NoDecode] = Field(
        {},
        description="Where the old app keeps the pictures of a table's rows, which are read until they "
        "are copied: faces=s3://faces,celebrities=s3://celebrity-images, or file:///folder. A bucket may "
        "name its own ?endpoint=https://…&region=…, and by &variables=OLD the variables OLD_AWS_*, which "
        "count in place of AWS_*.",
    )
    log_format: Literal["text", "json"] = Field("text", description="Log lines for people or machines.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe log lines that are written."
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#@]+$",
        examples=["http://127.0.0.1:4318"],
        description="OpenTelemetry collector that gets traces, by OTLP over HTTP. Unset: no traces.",
    )
    trace_sampling: float = Field(
        0.05, ge=0, le=1, description="Part of the requests and jobs that are traced."
    )
    sentry_dsn: SecretStr | None = Field(
        None, description="Sentry project (its DSN) that gets errors. Unset: none are reported."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _OldNames(settings_cls)

    def without_secrets(self) -> Self:
        """A copy for processes that need no secrets, because dashboards show what they are given."""
        secrets = [
            name for name, field in type(self).model_fields.items() if SecretStr in get_args(field.annotation)
        ]
        return self.model_copy(update=dict.fromkeys(secrets))

    @field_validator("home", "tls_certificate", "pack_dir", "calibration", "text_blocked_words", "text_pack")
    @classmethod
    def _expand_home(cls, value: Path | None) -> Path | None:
        """Shells expand `~`, but files of settings are read by programs that do not."""
        try:
            return value and value.expanduser()
        except RuntimeError as exc:
            raise ValueError("names no home directory after ~: give the whole path") from exc

    @field_validator("owner_database_url")
    @classmethod
    def _check_owner(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and info.data.get("database_url") is None:
            raise ValueError("needs SEMBLANCE_DATABASE_URL, with which the application logs in")
        return value

    @field_validator("sentry_dsn")
    @classmethod
    def _check_sentry(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _SENTRY_DSN.fullmatch(value.get_secret_value()):
            raise ValueError("should look like https://key@sentry.example/1")
        return value

    @field_validator("supabase_url", mode="before")
    @classmethod
    def _without_slash(cls, value: object) -> object:
        return value.rstrip("/") if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _follow_supabase(cls, data: Any) -> Any:
        url = data.get("supabase_url") if isinstance(data, dict) else None
        if isinstance(url, str) and url.startswith("http"):
            auth = f"{url.rstrip('/')}/auth/v1"
            return {"jwt_jwks_url": f"{auth}/.well-known/jwks.json", "jwt_issuer": auth, **data}
        return data

    @field_validator("session_check_seconds")
    @classmethod
    def _check_sessions(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("supabase_url") is None:
            raise ValueError("needs SEMBLANCE_SUPABASE_URL, where sessions are asked for")
        keys = ("supabase_anon_key", "supabase_service_role_key")
        if value is not None and all(info.data.get(key) is None for key in keys):
            raise ValueError("needs SEMBLANCE_SUPABASE_ANON_KEY, with which Supabase is asked")
        return value

    @field_validator("max_upload_bytes")
    @classmethod
    def _check_uploads(cls, value: int, info: ValidationInfo) -> int:
        if "max_image_bytes" not in info.data or "client_share" not in info.data:
            return value
        share = max(1, int(value * info.data["client_share"]))
        # What a client gets while it is alone (`FairShare.take`).
        most, needed = max(share, value - share), int(info.data["max_image_bytes"] * BODY_OVERHEAD)
        if most < needed:
            raise ValueError(
                f"gives one client {most} bytes at most, too few for a request with the largest picture, "
                f"{needed} bytes; raise it, or lower SEMBLANCE_MAX_IMAGE_BYTES"
            )
        return value

    @field_validator("old_storage", mode="before")
    @classmethod
    def _split_by_table(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        places = [place.strip().partition("=") for place in value.split(",") if place.strip()]
        for table, _, url in places:
            # Without its value, which may contain a key.
            if not _PLACE.fullmatch(url.strip()):
                raise ValueError(
                    f"{table!r} needs a place, like faces=s3://faces or faces=file:///folder; after a bucket "
                    "only ?endpoint=…, &region=… and &variables=… may stand, and keys stand in variables"
                )
            if table.strip() not in get_args(PictureTable):
                tables = ", ".join(get_args(PictureTable))
                raise ValueError(f"{table!r} is not a table with pictures; these are {tables}")
        if len({table.strip() for table, _, _ in places}) < len(places):
            raise ValueError("a table is named twice")
        return {table.strip(): url.strip() for table, _, url in places}

    @field_validator("cors_origins", "allowed_hosts", "trusted_proxies", "ingest_roots", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        # A browser compares origins exactly, so an address with a path would silently never match.
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin: use scheme://host or scheme://host:port, lower case"
                )
        return origins

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is not a host name: leave out scheme, port and path")
        return hosts

    @field_validator("ingest_roots")
    @classmethod
    def _check_roots(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        for root in roots:
            if not root.startswith(("/", "s3://")) or root == "s3://":
                raise ValueError(f"{root!r} is neither an absolute path nor s3://bucket/prefix")
        return roots

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        # Raises a ValueError that names an invalid network and what is wrong with it.
        return tuple(str(ip_network(proxy)) for proxy in proxies)

    @property
    def migration_database_url(self) -> SecretStr | None:
        """The DSN to migrate with, if one is set."""
        return self.owner_database_url or self.database_url

    @property
    def required_database_url(self) -> SecretStr:
        """The DSN. Raises ConfigurationError if no database is set or started."""
        if self.database_url is None:
            raise ConfigurationError(
                "No database: set SEMBLANCE_DATABASE_URL, or let `semblance up` start the embedded one."
            )
        return self.database_url

    @property
    def required_api_key(self) -> SecretStr:
        """The service key. Raises ConfigurationError if none is set or generated."""
        if self.api_key is None:
            raise ConfigurationError("No API key: set SEMBLANCE_API_KEY, or let `semblance up` generate one.")
        return self.api_key

    @property
    def required_jwt_secret(self) -> SecretStr:
        """The tokens' secret. Raises ConfigurationError if none is set or generated."""
        if self.jwt_secret is None:
            raise ConfigurationError(
                "No token secret: set SEMBLANCE_JWT_SECRET, or let `semblance up` generate one."
            )
        return self.jwt_secret

    @property
    def required_cron_secret(self) -> SecretStr:
        """The cron secret. Raises ConfigurationError if none is set or generated."""
        if self.cron_secret is None:
            raise ConfigurationError(
                "No cron secret: set SEMBLANCE_CRON_SECRET, or let `semblance up` generate one."
            )
        return self.cron_secret


@lru_cache
def get_settings() -> Settings:
    """The process's settings, read once. Raises ConfigurationError, which names all invalid settings.

    An unknown variable only causes a warning here: replicas read the environment of their node, and must
    start even if it has a setting of another version. Commands refuse it, because a person can correct it
    (`ops.commands.environment`).
    """
    for problem in unknown_variables(os.environ):
        logger.warning("%s", problem)
    if problems := list(_problems()):
        raise ConfigurationError("\n".join(problems))
    return Settings()


def check_environment() -> None:
    """Raise ConfigurationError with all invalid and unknown variables."""
    if problems := [*_problems(), *unknown_variables(os.environ)]:
        raise ConfigurationError("\n".join(problems))


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each unknown variable with the prefix, with the name that may be meant."""
    known = {name.upper() for name in Settings.model_fields}
    for name, value in environment.items():
        # Names are not case-sensitive.
        upper = name.upper()
        if not value or not upper.startswith(PREFIX) or OTHER_VARIABLES.fullmatch(upper):
            continue
        if (field := upper.removeprefix(PREFIX)) not in known:
            near = difflib.get_close_matches(field, known, n=1)
            meant = f"did you mean {PREFIX}{near[0]}?" if near else "unset it, or see docs/settings.md."
            yield f"{name} is no setting: {meant}"


def variable(*place: int | str) -> str:
    """The environment variable of a field."""
    return PREFIX + "_".join(map(str, place)).upper()


def old_names() -> dict[str, str]:
    """The old app's variable that a setting of this process comes from, by setting."""
    return taken(os.environ, PREFIX)


def _problems() -> Iterator[str]:
    try:
        Settings()
    except ValidationError as exc:
        for problem in exc.errors(include_url=False):
            # Without the values: some are secrets.
            field = Settings.model_fields.get(str(problem["loc"][0])) if problem["loc"] else None
            if problem["type"] == "string_pattern_mismatch" and field and field.examples:
                text = f"should look like {field.examples[0]}"
            elif problem["type"] == "too_short":
                text = f"should have at least {problem['ctx']['min_length']} characters"
            else:
                text = problem["msg"].removeprefix("Value error, ")
            name = taken(os.environ, PREFIX).get(str(problem["loc"][0])) if problem["loc"] else None
            yield f"{name or variable(*problem['loc'])}: {text}"
