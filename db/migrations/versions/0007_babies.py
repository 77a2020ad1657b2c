from __future__ import annotations

from db.migrations.files import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql("0007_babies.up")


def downgrade() -> None:
    run_sql("0007_babies.down")
