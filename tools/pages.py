"""What the pages that are written from the code share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from tools import CHECKOUT

Check: TypeAlias = Annotated[bool, typer.Option("--check", help="Compare, write nothing.")]


def write_page(target: Path, text: str, *, check: bool) -> None:
    """Write a page; with `check` compare it instead. Raises typer.Exit(1) where it differs."""
    name = target.relative_to(CHECKOUT)
    if not check:
        target.write_text(text, encoding="utf-8")
        typer.echo(f"Wrote {name}.")
    elif not target.exists() or target.read_text(encoding="utf-8") != text:
        typer.echo(f"{name} differs from the code: run it without --check.", err=True)
        raise typer.Exit(1)


def type_text(schema: dict[str, Any]) -> str:  # noqa: PLR0911 - one line per kind of schema
    """The type that a JSON schema describes, in Markdown."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(type_text(alternative) for alternative in alternatives)
    if schema.get("type") == "array":
        return f"list of {type_text(schema.get('items', {})) or 'values'}"
    if schema.get("type") == "object" and "properties" in schema:
        return "{" + ", ".join(schema["properties"]) + "}"
    kind: str = schema.get("format") or schema.get("type", "")
    if "exclusiveMinimum" in schema:
        most = f", at most {schema['maximum']}" if "maximum" in schema else ""
        return f"{kind} above {schema['exclusiveMinimum']:g}{most}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None or high is not None:
        return f"{kind} {'' if low is None else low}..{'' if high is None else high}"
    return kind


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())
