"""What every revision does: run its SQL file."""

from __future__ import annotations

from pathlib import Path

from alembic import op

_FILES = Path(__file__).with_name("sql")

# Where the extension is installed differs: public on most servers, extensions on Supabase.
_SEARCH_PATH = """
    SELECT set_config(
        'search_path',
        concat_ws(', ', 'public', (
            SELECT quote_ident(nspname)
            FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
            WHERE extname = 'vector'
        )),
        false
    )
"""


def run_sql(name: str) -> None:
    """Run `sql/{name}.sql`, several statements at once, with tables in public and pgvector in reach."""
    # Through the driver: SQLAlchemy would read ":x" as a parameter.
    driver = op.get_bind().connection.driver_connection
    if driver is None:
        raise RuntimeError("Alembic runs without a connection.")
    driver.execute(_SEARCH_PATH)
    driver.execute((_FILES / f"{name}.sql").read_text(encoding="utf-8"))
