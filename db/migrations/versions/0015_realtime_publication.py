from __future__ import annotations

from db.migrations.files import run_sql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_sql("0015_realtime_publication.up")


def downgrade() -> None:
    run_sql("0015_realtime_publication.down")
