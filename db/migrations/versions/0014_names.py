from __future__ import annotations

from db.migrations.files import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql("0014_names.up")


def downgrade() -> None:
    run_sql("0014_names.down")
