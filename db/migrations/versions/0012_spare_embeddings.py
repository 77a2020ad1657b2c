from __future__ import annotations

from db.migrations.files import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql("0012_spare_embeddings.up")


def downgrade() -> None:
    run_sql("0012_spare_embeddings.down")
