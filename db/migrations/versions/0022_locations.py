from __future__ import annotations

from db.migrations.files import run_sql

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    run_sql("0022_locations.up")


def downgrade() -> None:
    run_sql("0022_locations.down")
