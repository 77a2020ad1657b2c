"""Triggers that correct what the old app keeps writing, and the existing rows.

One trigger per old table changes a row before it is stored, until the old app is gone. The same trigger
corrects existing rows, which are written once more, unchanged. The catalog says which values a constraint
refuses; `rules` says what to do with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from db.adoption import dml
from db.adoption.catalog import Catalog, Column
from db.adoption.rules import DEFAULTS, OTHER_NAMES, SPELLINGS
from db.adoption.steps import CHANGE_RATE, HNSW_RATE, Step
from db.adoption.target import Target

SCHEMA = "semblance_adoption"
TRIGGER = "aa_semblance_adoption"
"""Triggers fire in the order of their names."""

BATCH = 1000
"""Rows of one transaction, which takes a tenth of a second, during which others may wait for a row."""


_PICTURES = {"faces": "image_path", "celebrities": "image_path", "babies": "image_url", "messages": "content"}
"""Columns that name pictures, for which the API signs URLs."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """The trigger of one table. body: its function's. refused: a condition for the rows that it would change,
    over its present and new columns. is_embedded: its rows are in a vector index."""

    table: str
    key: Column
    body: str
    refused: str
    is_embedded: bool

    @property
    def function(self) -> str:
        return f"bridge_{self.table}"

    def create(self, search_path: str) -> list[str]:
        return [
            f"CREATE OR REPLACE FUNCTION {SCHEMA}.{self.function}() RETURNS trigger LANGUAGE plpgsql"
            f" SECURITY DEFINER SET search_path = {search_path} AS $bridge${self.body}$bridge$",
            f"REVOKE ALL ON FUNCTION {SCHEMA}.{self.function}() FROM PUBLIC",
            f"DROP TRIGGER IF EXISTS {TRIGGER} ON public.{self.table}",
            f"CREATE TRIGGER {TRIGGER} BEFORE INSERT OR UPDATE ON public.{self.table}"
            f" FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.{self.function}()",
        ]

    def count(self, old: Catalog, target: Catalog) -> str:
        """The query for how many rows it would change; new columns count as null."""
        columns = old.columns[self.table]
        missing = [
            f"NULL::{each.type} AS {each.name}"
            for each in target.columns[self.table].values()
            if each.name not in columns
        ]
        source = ", ".join(["present.*", *missing])
        return dml.statement("count_refused", table=self.table, columns=source, condition=self.refused)

    def put_right(self, rows: int) -> Step:
        statement = dml.statement(
            "put_right",
            table=self.table,
            key=self.key.name,
            type=self.key.type,
            condition=self.refused,
            limit=BATCH,
        )
        return Step(
            f"put rows of {self.table} right",
            (statement,),
            f"the rows at hand, {BATCH} at a time",
            rows,
            HNSW_RATE if self.is_embedded else CHANGE_RATE,
            mode="batches",
        )


def bridge(table: str, old: Catalog, target: Target, pack_digest: str) -> Bridge | None:
    """The trigger that a table of the old app needs, if any; the same at any point of an adoption.
    pack_digest: for embeddings that the old app writes."""
    present, wanted = old.columns[table], target.catalog.columns[table]
    key = present.get("id") or present.get("key")
    if key is None:
        return None
    parts: list[tuple[str, str]] = []
    for column in wanted.values():
        parts += _other_name(table, column, present)
        parts += _missing_value(table, column, key)
    for constraint in target.catalog.constraints.get(table, {}).values():
        if constraint.kind == "c" and len(constraint.columns) == 1:
            column = wanted[constraint.columns[0]]
            parts.append(_refused_value(table, key, column, constraint.expression))
    parts += _of_table(table, target, pack_digest)
    if not parts:
        return None
    statements = "\n".join(statement for _, statement in parts)
    refused = " OR ".join(f"({condition})" for condition, _ in parts if condition)
    body = f"\nBEGIN\n{statements}\n    RETURN NEW;\nEND\n"
    return Bridge(table, wanted.get(key.name, key), body, refused or "false", "embedding" in present)


def _other_name(table: str, column: Column, present: Mapping[str, Column]) -> list[tuple[str, str]]:
    name, expression = OTHER_NAMES.get((table, column.name), ("", ""))
    if name not in present:
        return []
    there, written = expression.format(value=name), expression.format(value=f"NEW.{name}")
    return [
        (
            f"{column.name} IS NULL AND {there} IS NOT NULL",
            f"    NEW.{column.name} := coalesce(NEW.{column.name}, {written});",
        )
    ]


def _missing_value(table: str, column: Column, key: Column) -> list[tuple[str, str]]:
    default = DEFAULTS.get((table, column.name), column.default)
    if not column.not_null or default is None or column.identity or column.name == key.name:
        return []
    return [
        (
            f"{column.name} IS NULL",
            f"    NEW.{column.name} := coalesce(NEW.{column.name}, {default});",
        )
    ]


def _refused_value(table: str, key: Column, column: Column, expression: str) -> tuple[str, str]:
    rule = SPELLINGS.get((table, column.name))
    if rule is None and column.not_null:
        # Nothing is known that could stand in its place.
        return "", ""
    value = rule.format(value=f"NEW.{column.name}") if rule else "NULL"
    condition = f"NOT ({expression})"
    if rule:
        condition += f" AND ({rule.format(value=column.name)}) IS DISTINCT FROM {column.name}"
    statement = f"""\
    IF EXISTS (SELECT FROM (SELECT NEW.*) AS written WHERE {condition}) THEN
        PERFORM {SCHEMA}.keep('{table}', NEW.{key.name}::text, '{column.name}', to_jsonb(NEW.{column.name}));
        NEW.{column.name} := {value};
    END IF;"""
    return condition, statement


def _of_table(table: str, target: Target, pack_digest: str) -> list[tuple[str, str]]:
    parts: list[tuple[str, str]] = []
    if {"embedding", "pack_digest"} <= target.catalog.columns[table].keys():
        parts.append((
            "(embedding IS NULL) <> (pack_digest IS NULL)",
            f"""\
    IF NEW.embedding IS NULL THEN
        NEW.pack_digest := NULL;
    ELSIF NEW.pack_digest IS NULL OR (
        -- The old app does not know that an embedding says where it is from.
        TG_OP = 'UPDATE' AND NEW.pack_digest IS NOT DISTINCT FROM OLD.pack_digest
        AND NEW.embedding IS DISTINCT FROM OLD.embedding
    ) THEN
        NEW.pack_digest := '{pack_digest}';
    END IF;""",
        ))  # fmt: skip
    if table == "profiles":
        # Rights of the old app are for whole rows, and one with this column is worth more than before.
        parts.append((
            "",
            f"""\
    IF {SCHEMA}.is_for_end_user() AND NOT public.is_admin() THEN
        NEW.role := CASE TG_OP WHEN 'UPDATE' THEN OLD.role ELSE 'user' END;
    END IF;
    -- The API shows it as theirs.
    IF {SCHEMA}.is_for_end_user()
        AND (TG_OP = 'INSERT' OR NEW.default_face_id IS DISTINCT FROM OLD.default_face_id)
        AND NOT EXISTS (SELECT FROM public.faces WHERE faces.id = NEW.default_face_id AND profile_id = NEW.id)
    THEN
        NEW.default_face_id := CASE TG_OP WHEN 'UPDATE' THEN OLD.default_face_id END;
    END IF;""",
        ))  # fmt: skip
    if column := _PICTURES.get(table):
        is_one, changed = "true", f"NEW.{column} IS DISTINCT FROM OLD.{column}"
        if table == "messages":
            is_one = "NEW.message_type = 'image'"
            changed += " OR NEW.message_type <> OLD.message_type"
        parts.append((
            "",
            f"""\
    IF {SCHEMA}.is_for_end_user() AND {is_one} AND (TG_OP = 'INSERT' OR {changed})
        AND {SCHEMA}.is_picture_of_others(NEW.{column})
    THEN
        RAISE insufficient_privilege USING MESSAGE = 'This picture is not yours.';
    END IF;""",
        ))  # fmt: skip
    if table == "matches":
        # A match of ours has weights.
        parts.append((
            "face_a_id > face_b_id",
            """\
    IF NEW.face_a_id > NEW.face_b_id THEN
        SELECT NEW.face_b_id, NEW.face_a_id INTO NEW.face_a_id, NEW.face_b_id;
    END IF;
    IF TG_OP = 'INSERT' AND NEW.weights IS NULL THEN
        PERFORM semblance_adoption.hold_pair(NEW.face_a_id, NEW.face_b_id);
        IF EXISTS (
            SELECT FROM public.matches WHERE face_a_id = NEW.face_a_id AND face_b_id = NEW.face_b_id
        ) THEN
            RETURN NULL;
        END IF;
    END IF;""",
        ))  # fmt: skip
    if table in {"reactions", "babies", "mutual_connections"}:
        parts.append(("", f"    NEW.match_id := {SCHEMA}.kept_id(NEW.match_id);"))
    if table == "messages":
        parts.append(("", f"    NEW.connection_id := {SCHEMA}.kept_id(NEW.connection_id);"))
    if table == "mutual_connections":
        parts.append((
            "",
            f"""\
    IF TG_OP = 'INSERT' THEN
        PERFORM {SCHEMA}.hold_pair(
            least(NEW.profile_a_id, NEW.profile_b_id), greatest(NEW.profile_a_id, NEW.profile_b_id)
        );
        IF EXISTS (
            SELECT FROM public.mutual_connections
            WHERE least(profile_a_id, profile_b_id) = least(NEW.profile_a_id, NEW.profile_b_id)
                AND greatest(profile_a_id, profile_b_id) = greatest(NEW.profile_a_id, NEW.profile_b_id)
        ) THEN
            RETURN NULL;
        END IF;
    END IF;""",
        ))  # fmt: skip
    if table == "system_settings":
        known = " ".join(
            f"WHEN '{key}' THEN '{value}'::jsonb" for key, value in sorted(target.settings.items())
        )
        parts.append((
            "NOT public.valid_setting(key, value)",
            f"""\
    IF NOT public.valid_setting(NEW.key, NEW.value) THEN
        PERFORM {SCHEMA}.keep('system_settings', NEW.key, 'value', NEW.value);
        NEW.value := CASE NEW.key {known} ELSE NEW.value END;
    END IF;""",
        ))  # fmt: skip
    return parts
