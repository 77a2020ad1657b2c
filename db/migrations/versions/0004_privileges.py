from __future__ import annotations

from db.migrations.files import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql("0004_privileges.up")


def downgrade() -> None:
    run_sql("0004_privileges.down")
