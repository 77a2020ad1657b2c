from __future__ import annotations

from db.migrations.files import run_sql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_sql("0016_schools.up")


def downgrade() -> None:
    run_sql("0016_schools.down")
