"""Named queries from `db/sql/*.sql`, so that SQL is read, edited and checked as SQL.

A query begins with a line `-- name: nearest_celebrities` and ends at the next such line. Parameters are
PostgreSQL's own, `$1`. Callers write `sql.nearest_celebrities`; a test checks that every name used exists and
every query is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load_queries(folder: Path) -> Mapping[str, str]:
    """All queries of a folder's `.sql` files by name.

    Raises ValueError if a name occurs twice, a query is empty, a name has text after it on its line,
    or a file has SQL before its first name.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.sql")):
        head, *parts = _NAME.split(path.read_text(encoding="utf-8"))
        if _statement(head):
            raise ValueError(f"{path} has SQL before its first name.")
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"{path} defines the query {name} a second time.")
            if "-- name:" in text:
                raise ValueError(f"{path}: a line '-- name:' under the name {name} holds more than a name.")
            if not _statement(text):
                raise ValueError(f"{path} has no SQL under the name {name}.")
            found[name] = text.strip()
    return MappingProxyType(found)


def _statement(text: str) -> str:
    """The text without its comment lines."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--")).strip()


queries = load_queries(Path(__file__).with_name("sql"))
"""The project's queries by name."""


_names = {text: name for name, text in queries.items()}


def name_of(query: str) -> str | None:
    """The name of one of the project's queries; None for any other text."""
    return _names.get(query)


class _Sql:
    """The queries as attributes."""

    def __getattr__(self, name: str) -> str:
        try:
            return queries[name]
        except KeyError:
            raise AttributeError(f"db/sql has no query named {name}.") from None


sql = _Sql()
