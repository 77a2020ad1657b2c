"""Passing the options of one command on to another."""

from __future__ import annotations

from collections.abc import Container

import typer


def given_options(context: typer.Context, without: Container[str] = ()) -> list[str]:
    """The options given on the command line, in the form for a command with the same options. The others keep
    that command's defaults.

    Args:
        context: of the command that was called.
        without: names of parameters that only the calling command has.
    """
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
            # In one word: a value that begins with a dash would be taken for an option.
            options.append(f"{parameter.opts[0]}={each}")
    return options
