from __future__ import annotations

from db.migrations.files import run_sql

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_sql("0017_presence_setting.up")


def downgrade() -> None:
    run_sql("0017_presence_setting.down")
