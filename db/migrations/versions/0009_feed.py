from __future__ import annotations

from db.migrations.files import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql("0009_feed.up")


def downgrade() -> None:
    run_sql("0009_feed.down")
