"""The vector index of each model of texts: of bios, which are searched among many. Only the owner of the
database makes and drops indexes."""

from __future__ import annotations

import hashlib

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from db.migrate import connect, locked

_INDEXES = """
    SELECT relname, indisvalid
    FROM pg_index
    JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indrelid = 'public.text_embeddings'::regclass AND relname LIKE 'idx_text_embeddings_bios_%'
"""
_CREATE = SQL(
    "CREATE INDEX CONCURRENTLY {} ON public.text_embeddings USING hnsw (embedding {}.vector_cosine_ops)"
    " WITH (m = 16, ef_construction = 64) WHERE source = 'bio' AND model = {}"
)
_DROP = SQL("DROP INDEX CONCURRENTLY IF EXISTS public.{}")
_SCHEMA = """
    SELECT nspname
    FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
    WHERE extname = 'vector'
"""


def index_name(model: str) -> str:
    """The name of a model's index."""
    return f"idx_text_embeddings_bios_{hashlib.sha256(model.encode()).hexdigest()[:16]}"


def ensure_index(dsn: str, model: str) -> bool:
    """Make the index of a model unless there is one, while bios are written and searched. Returns whether it
    was made now. One that a killed command has left half made is made again.

    Args:
        dsn: of the owner.

    Raises ConfigurationError if the login does not own the table, DatabaseError.
    """
    name = index_name(model)
    with locked(dsn), connect(dsn, autocommit=True) as connection:
        state = _indexes(connection).get(name)
        if state:
            return False
        if state is not None:
            connection.execute(_DROP.format(Identifier(name)))
        [schema] = connection.execute(_SCHEMA).fetchone() or ["public"]
        connection.execute(_CREATE.format(Identifier(name), Identifier(schema), Literal(model)))
        return True


def drop_other_indexes(dsn: str, model: str) -> int:
    """Drop the indexes of all models but this one; returns how many. Raises as `ensure_index`."""
    with locked(dsn), connect(dsn, autocommit=True) as connection:
        others = [name for name in _indexes(connection) if name != index_name(model)]
        for name in others:
            connection.execute(_DROP.format(Identifier(name)))
        return len(others)


def _indexes(connection: psycopg.Connection) -> dict[str, bool]:
    """The indexes of models by name, and whether each can be used."""
    return dict(connection.execute(_INDEXES).fetchall())
