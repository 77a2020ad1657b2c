from __future__ import annotations

from db.migrations.files import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql("0002_schema.up")


def downgrade() -> None:
    run_sql("0002_schema.down")
