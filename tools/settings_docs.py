"""docs/settings.md from the settings: every variable, what it takes, its default, what it means.

python -m tools.settings_docs            write docs/settings.md
python -m tools.settings_docs --check    exit 1 where it differs from the code
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import typer

from semblance.settings import Settings, variable
from tools import CHECKOUT
from tools.pages import Check, one_line, type_text, write_page

TARGET = CHECKOUT / "docs" / "settings.md"

HEAD = """\
# Settings

Written by `python -m tools.settings_docs` from `semblance/settings.py`. Settings are environment variables,
read once by each process; in the text below `home` is short for `SEMBLANCE_HOME`. An empty variable counts as
unset. Commands refuse an unknown `SEMBLANCE_…` variable and suggest the name that is probably meant, and
`semblance up` checks all settings before it starts anything. If a setting is unset, some variables of the old
app are read in its place ([compat.md](compat.md)).

| variable | value | default | |
| --- | --- | --- | --- |
"""


def render() -> str:
    """The whole page."""
    return HEAD + "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    properties = Settings.model_json_schema()["properties"]
    for name, field in Settings.model_fields.items():
        value, default = _value(properties[name]), _default(field.default)
        text = one_line(field.description or "").replace("|", "\\|")
        yield f"| `{variable(name)}` | {value} | {default} | {text} |"


def _value(schema: dict[str, Any]) -> str:
    alternatives = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    if any(each.get("format") == "password" for each in alternatives):
        return "secret"
    return " or ".join(map(_kind, alternatives))


def _kind(schema: dict[str, Any]) -> str:
    """Arrays and objects are written as text; the description says how."""
    is_text = schema["type"] in {"array", "object", "string"} and not schema.keys() & {"enum", "const"}
    return "text" if is_text else type_text(schema)


def _default(default: object) -> str:
    if default is None:
        return "unset"
    if isinstance(default, bool):
        return f"`{int(default)}`"
    if isinstance(default, str | int | float | PurePath):
        return f"`{default}`"
    return "empty"


def main(check: Check = False) -> None:
    """Write docs/settings.md, or say whether it is current."""
    write_page(TARGET, render(), check=check)


if __name__ == "__main__":
    typer.run(main)
