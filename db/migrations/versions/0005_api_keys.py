from __future__ import annotations

from db.migrations.files import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql("0005_api_keys.up")


def downgrade() -> None:
    run_sql("0005_api_keys.down")
