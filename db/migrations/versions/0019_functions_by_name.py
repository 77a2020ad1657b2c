from __future__ import annotations

from db.migrations.files import run_sql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_sql("0019_functions_by_name.up")


def downgrade() -> None:
    run_sql("0019_functions_by_name.down")
