"""All settings, each documented beside itself. Nothing else reads the environment."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from semblance.errors import ConfigurationError

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Read from the environment with the prefix `SEMBLANCE_`, so `SEMBLANCE_PACK=buffalo_l`."""

    model_config = SettingsConfigDict(env_prefix="SEMBLANCE_", extra="ignore", frozen=True)

    home: Path = Field(
        Path(".semblance"),
        description="Folder of all local state: database, objects, keys, logs. One stack per folder.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL DSN (>= 15 with pgvector >= 0.8). Unset: the embedded server of `home`.",
    )
    database_pool_size: int = Field(10, ge=1, description="Connections per API replica.")
    api_key: SecretStr | None = Field(
        None,
        description="Service key of the face-compute endpoints. Unset: generated once, kept in `home`.",
    )
    jwt_secret: SecretStr | None = Field(
        None,
        description="HS256 secret of users' access tokens. Unset: generated once, kept in `home`.",
    )
    jwt_audience: str = Field("authenticated", description="`aud` of users' access tokens.")
    jwt_issuer: str | None = Field(None, description="`iss` of users' access tokens. Unset: not checked.")
    cron_secret: SecretStr | None = Field(
        None, description="Secret of /api/cron/*. Unset: generated once, kept in `home`."
    )
    host: str = Field("127.0.0.1", description="Address the HTTP API binds to.")
    public_url: str | None = Field(
        None, description="Address under which clients reach the API. Unset: the one each request used."
    )
    port: int = Field(0, ge=0, le=65535, description="Port of the HTTP API; 0 picks a free one.")
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
    execution_provider: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="onnxruntime provider; auto is CUDA where present, then CPU."
    )
    threads: int = Field(1, ge=1, description="Threads of one onnxruntime session.")

    max_image_bytes: int = Field(10 * 1024 * 1024, ge=1, description="Largest accepted picture file.")
    max_image_pixels: int = Field(50_000_000, ge=1, description="Largest accepted width x height.")
    max_faces: int = Field(64, ge=1, description="Most faces described in one picture, largest first.")
    max_inflight: int = Field(
        64, ge=1, description="Face requests one API replica works on; more are refused with 503."
    )

    storage_url: str | None = Field(
        None,
        description="Where pictures are kept: file:///folder or s3://bucket/prefix. Unset: `home`/objects.",
    )
    log_format: Literal["text", "json"] = Field("text", description="Log lines for people or machines.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO")

    def without_secrets(self) -> Self:
        """A copy for processes that need none, because what they are given can be seen in dashboards."""
        secrets = [
            name for name, field in type(self).model_fields.items() if SecretStr in get_args(field.annotation)
        ]
        return self.model_copy(update=dict.fromkeys(secrets))

    @property
    def required_database_url(self) -> SecretStr:
        """The DSN; raises ConfigurationError where nobody set or started a database."""
        if self.database_url is None:
            raise ConfigurationError(
                "No database: set SEMBLANCE_DATABASE_URL, or let `semblance up` start the embedded one."
            )
        return self.database_url

    @property
    def required_api_key(self) -> SecretStr:
        """The service key; raises ConfigurationError where nobody set or generated one."""
        if self.api_key is None:
            raise ConfigurationError("No API key: set SEMBLANCE_API_KEY, or let `semblance up` generate one.")
        return self.api_key

    @property
    def required_jwt_secret(self) -> SecretStr:
        """The tokens' secret; raises ConfigurationError where nobody set or generated one."""
        if self.jwt_secret is None:
            raise ConfigurationError(
                "No token secret: set SEMBLANCE_JWT_SECRET, or let `semblance up` generate one."
            )
        return self.jwt_secret

    @property
    def required_cron_secret(self) -> SecretStr:
        """The cron secret; raises ConfigurationError where nobody set or generated one."""
        if self.cron_secret is None:
            raise ConfigurationError(
                "No cron secret: set SEMBLANCE_CRON_SECRET, or let `semblance up` generate one."
            )
        return self.cron_secret


@lru_cache
def get_settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
