"""Run by Alembic. `db.migrate` hands over the connection; there is no other way in."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema="public",
    # One transaction per revision, so that one which must run outside a transaction can stand alone.
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
