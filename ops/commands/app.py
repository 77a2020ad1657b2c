"""The command line: all commands, in the order in which `semblance --help` shows them."""

from __future__ import annotations

import errno
import inspect
from typing import Annotated

import typer

from ops.commands.access.commands import admins, keys, tokens
from ops.commands.access.commands import console as console_command
from ops.commands.backup.commands import backup, restore
from ops.commands.gallery.commands import gallery
from ops.commands.matches.commands import rescore, worker
from ops.commands.models.commands import models
from ops.commands.output import console, fail, place_of
from ops.commands.ray_jobs.commands import ingest, jobs
from ops.commands.schema.commands import migrate
from ops.commands.schools.commands import schools
from ops.commands.service.commands import demo, doctor, down, env, gateway, smoke, status, up
from ops.commands.storage.commands import storage
from ops.commands.texts.commands import texts
from semblance import __version__
from semblance.actor import actor_var, command_actor
from semblance.errors import SemblanceError

app = typer.Typer(
    name="semblance",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Who looks like this face? A lookalike service on Ray Serve and PostgreSQL.

[bold]First steps[/]

  semblance demo                      everything, on photos from packages
  semblance up --detach               start the service and return
  semblance console                   a link to the service's pages
  semblance ingest ./celebrities      fill the gallery
  semblance status                    addresses and the API key
  eval "$(semblance env)"             the same for curl and ray job submit
  semblance down                      stop the service

All state is in one folder: [cyan].semblance[/] here, or the one that [cyan]SEMBLANCE_HOME[/] names. Settings
are environment variables, all described in [cyan]docs/settings.md[/]; for example
[cyan]SEMBLANCE_DATABASE_URL[/] for your own PostgreSQL and [cyan]SEMBLANCE_PACK[/] for other models.
""",
)

for command in (
    *(up, down, status, env, demo, migrate, ingest, worker, gateway, rescore, doctor, smoke),
    *(backup, restore),
):
    app.command()(command)
app.command("console")(console_command)

for name, group in {
    "models": models,
    "jobs": jobs,
    "token": tokens,
    "keys": keys,
    "storage": storage,
    "gallery": gallery,
    "admins": admins,
    "schools": schools,
    "texts": texts,
}.items():
    app.add_typer(group, name=name)


def flowing(text: str) -> str:
    """The text with each paragraph in one line, so that it breaks where the terminal ends and not where the
    source does. Indented lines, which are examples, stay as they are."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        paragraph if "\n " in f"\n{paragraph}" else paragraph.replace("\n", " ") for paragraph in paragraphs
    )


def _let_help_flow(commands: typer.Typer) -> None:
    if isinstance(commands.info.help, str):
        commands.info.help = flowing(commands.info.help)
    for command in commands.registered_commands:
        command.help = flowing(command.help or inspect.getdoc(command.callback) or "")
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            _let_help_flow(group.typer_instance)


_let_help_flow(app)


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_UNUSABLE = frozenset(
    {errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.EROFS, errno.EACCES, errno.EPERM}
)
"""Errors at a file that only the owner of the folder can mend."""


def run() -> None:
    """Run the command line. A SemblanceError becomes its message and exit status 1, and so does a full disk,
    and a file that is closed or is something else than it should be."""
    try:
        app()
    except SemblanceError as exc:
        fail(exc.message)
        raise SystemExit(1) from exc
    except OSError as exc:
        if exc.errno in _FULL:
            fail(f"The disk is full{place_of(exc)}. Make room, and run the command again.")
        elif exc.errno in _UNUSABLE and exc.filename:
            fail(f"{exc.filename} cannot be used: {exc.strerror}.")
        else:
            raise
        raise SystemExit(1) from exc


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"semblance {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    actor_var.set(command_actor())
