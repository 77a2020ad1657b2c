"""`semblance up`, `down`, `status`, `env`, `demo`, `gateway`, `doctor` and `smoke`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.commands.environment import get_settings

NOT_RUNNING = 3
"""Exit status of `status` without a stack, as of `pg_ctl status`."""


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when the service is ready, and leave it running.")
    ] = False,
) -> None:
    """Start the service: PostgreSQL, Ray and the API.

    Without [cyan]--detach[/] it runs until Ctrl-C and then takes everything down. Where it already runs,
    this says so and succeeds.

    [bold]Examples[/]

      semblance up
      semblance up --detach && semblance status
      SEMBLANCE_PORT=8000 semblance up
      SEMBLANCE_HOME=/tmp/other semblance up     a second, separate service
    """
    from ops.commands.service.stack import start

    try:
        start(get_settings(), detach=detach)
    except KeyboardInterrupt:
        # The way to end it, not a failure.
        raise typer.Exit(0) from None


def down() -> None:
    """Stop the service of this home, and clear up what a killed one has left.

    The data stays. Other services on the machine, also other Ray clusters, are not touched.
    """
    from ops.commands.service.stack import stop

    stop(get_settings())


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For scripts; includes the API key.")] = False,
) -> None:
    """Say whether the service runs, where, with which key, and what is wrong with it since when.

    The exit status is 0 when it is ready, else 3.

    [bold]Examples[/]

      semblance status
      semblance status --json | jq -r .url
    """
    from ops.commands.service.stack import print_status

    if not print_status(get_settings(), as_json=as_json):
        raise typer.Exit(NOT_RUNNING)


def env() -> None:
    """Print the shell variables with which `curl` and Ray's own commands reach the running service.

    Sets SEMBLANCE_URL and SEMBLANCE_KEY for requests, and the address and token that [cyan]ray job[/] and
    [cyan]serve[/] need: the stack's Ray takes orders only with its own token.

    [bold]Examples[/]

      eval "$(semblance env)"
      curl -H "Authorization: Bearer $SEMBLANCE_KEY" -F file=@photo.jpg "$SEMBLANCE_URL/lookalikes"
      ray job submit -- "$PWD/.venv/bin/python" -m batch.ingest ./celebrities
    """
    from ops.commands.service.stack import print_environment

    if not print_environment(get_settings()):
        raise typer.Exit(NOT_RUNNING)


def demo(
    gallery: Annotated[
        Path | None,
        typer.Option(help="Folder of photos to match against, by category, with metadata.json."),
    ] = None,
    probe: Annotated[Path | None, typer.Option(help="Photo to find the lookalikes of.")] = None,
    once: Annotated[bool, typer.Option("--once", envvar="ONCE", help="Exit after the result.")] = False,
) -> None:
    """Start the service, ingest a small gallery, and find the lookalikes of a photo.

    Gallery and probe come with the Python packages, or are yours.

    [bold]Examples[/]

      semblance demo
      semblance demo --gallery ./celebrities --probe me.jpg
      semblance demo --once
    """
    from ops.commands.service.demo import run_demo

    try:
        answered = run_demo(get_settings(), gallery=gallery, probe=probe, once=once)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    if not answered:
        raise typer.Exit(1)


def gateway(
    serve: Annotated[str, typer.Option(help="Ray Serve's own proxy.")] = "127.0.0.1:8000",
    dashboard: Annotated[
        str, typer.Option(help="Ray's dashboard, which knows the API's replicas.")
    ] = "127.0.0.1:8265",
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that Ray asks for, where it does.")
    ] = None,
) -> None:
    """Stand before a Ray cluster as what clients talk to, at SEMBLANCE_HOST and SEMBLANCE_PORT (8080).

    [cyan]semblance up[/] does so by itself. Start it on the head, before Serve is deployed: until then, and
    whenever something behind it is away, clients are told when to come back.

    [bold]Examples[/]

      SEMBLANCE_HOST=0.0.0.0 semblance gateway
      semblance gateway --serve 127.0.0.1:8000 --dashboard 127.0.0.1:8265
    """
    from ops.commands.service.gateway import run_gateway

    run_gateway(get_settings(), serve, dashboard, token_file)


def doctor() -> None:
    """Check what usually goes wrong, and name the fix.

    The exit status is 1 when something must be fixed.
    """
    from ops.commands.service.doctor import examine

    if not examine(get_settings()):
        raise typer.Exit(1)


def smoke(
    url: Annotated[str, typer.Argument(help="Where clients reach the service, like https://faces.example.")],
    *,
    token: Annotated[
        str,
        typer.Option(
            envvar="SEMBLANCE_SMOKE_TOKEN",
            show_envvar=True,
            help="A test account's access token. Other users of this machine see what is typed here.",
        ),
    ],
    other_token: Annotated[
        str, typer.Option(envvar="SEMBLANCE_SMOKE_OTHER_TOKEN", show_envvar=True, help="Another one's.")
    ],
    photo: Annotated[
        Path | None, typer.Option(help="A photo of one person, else one that comes with the packages.")
    ] = None,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for the matches of a photo.")] = 60,
) -> None:
    """Try a deployed service out: sign in, upload, match, like, chat, have a baby picture made, clear up.

    Two accounts are needed that are there for it. It counts against their daily limits; what it uploads and
    changes is undone, also after a failure. Prints a table; the exit status is 1 when a step failed.

    [bold]Examples[/]

      export SEMBLANCE_SMOKE_TOKEN=… SEMBLANCE_SMOKE_OTHER_TOKEN=…
      semblance smoke https://faces.example
      semblance smoke "$SEMBLANCE_URL" --photo me.jpg
    """
    from ops.commands.service.smoke import run_smoke

    if not run_smoke(url, (token, other_token), photo=photo, patience=patience):
        raise typer.Exit(1)
