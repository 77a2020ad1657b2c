from __future__ import annotations

from db.migrations.files import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sql("0008_queue.up")


def downgrade() -> None:
    run_sql("0008_queue.down")
