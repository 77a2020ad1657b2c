from __future__ import annotations

from db.migrations.files import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql("0003_settings.up")


def downgrade() -> None:
    run_sql("0003_settings.down")
