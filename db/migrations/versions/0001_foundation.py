from __future__ import annotations

from db.migrations.files import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql("0001_foundation.up")


def downgrade() -> None:
    run_sql("0001_foundation.down")
