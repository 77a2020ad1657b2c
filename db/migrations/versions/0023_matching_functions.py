from __future__ import annotations

from db.migrations.files import run_sql

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    run_sql("0023_matching_functions.up")


def downgrade() -> None:
    run_sql("0023_matching_functions.down")
