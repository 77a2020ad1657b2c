"""The arguments of one command, handed on to another."""

from __future__ import annotations

from collections.abc import Container

import typer


def given_options(context: typer.Context, without: Container[str] = ()) -> list[str]:
    """The options that were typed, as they are typed: for a command that has the same. What was not typed is
    left to that command's defaults. without: names of parameters that are this command's own."""
    options: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if (
            parameter.param_type_name != "option"
            or name in without
            or source is None
            or source.name != "COMMANDLINE"
        ):
            continue
        value = context.params[name]
        if value is True:
            options.append(parameter.opts[0])
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            # In one word, or a value that begins with a dash would be taken for an option.
            options.append(f"{parameter.opts[0]}={each}")
    return options
