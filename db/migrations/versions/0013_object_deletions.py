from __future__ import annotations

from db.migrations.files import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_sql("0013_object_deletions.up")


def downgrade() -> None:
    run_sql("0013_object_deletions.down")
