from __future__ import annotations

from db.migrations.files import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql("0010_chat.up")


def downgrade() -> None:
    run_sql("0010_chat.down")
