from __future__ import annotations

from db.migrations.files import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql("0006_events.up")


def downgrade() -> None:
    run_sql("0006_events.down")
