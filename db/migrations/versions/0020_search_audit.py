from __future__ import annotations

from db.migrations.files import run_sql

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    run_sql("0020_search_audit.up")


def downgrade() -> None:
    run_sql("0020_search_audit.down")
