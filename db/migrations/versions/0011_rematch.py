from __future__ import annotations

from db.migrations.files import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql("0011_rematch.up")


def downgrade() -> None:
    run_sql("0011_rematch.down")
