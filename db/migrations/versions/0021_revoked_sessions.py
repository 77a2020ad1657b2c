from __future__ import annotations

from db.migrations.files import run_sql

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    run_sql("0021_revoked_sessions.up")


def downgrade() -> None:
    run_sql("0021_revoked_sessions.down")
