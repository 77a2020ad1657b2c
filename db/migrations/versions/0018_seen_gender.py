from __future__ import annotations

from db.migrations.files import run_sql

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_sql("0018_seen_gender.up")


def downgrade() -> None:
    run_sql("0018_seen_gender.down")
