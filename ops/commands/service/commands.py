"""`semblance up`, `down`, `status`, `env`, `demo`, `gateway`, `doctor` and `smoke`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.commands.environment import get_settings

NOT_RUNNING = 3
"""Exit status of `status` if no stack runs, the same as that of `pg_ctl status`."""


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when the service is ready, and leave it running.")
    ] = False,
) -> None:
    """Start the service: PostgreSQL, Ray and the API.

    Without [cyan]--detach[/] it runs until Ctrl-C and then stops everything. If the service already runs,
    the command says so and succeeds.

    [bold]Examples[/]

      semblance up
      semblance up --detach && semblance status
      SEMBLANCE_PORT=8000 semblance up
      SEMBLANCE_HOME=/tmp/other semblance up     # a second, separate service
    """
    from ops.commands.service.stack import start

    try:
        start(get_settings(), detach=detach)
    except KeyboardInterrupt:
        # This is how it is ended, not a failure.
        raise typer.Exit(0) from None


def down() -> None:
    """Stop the service of this home, and clean up after one that was killed.

    The data stays. Other services and Ray clusters on the machine are not touched.
    """
    from ops.commands.service.stack import stop

    stop(get_settings())


def status(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for scripts. It includes the API key.")
    ] = False,
) -> None:
    """Show whether the service runs, its addresses and key, and what is wrong with it.

    The exit status is 0 if the service is ready, else 3.

    [bold]Examples[/]

      semblance status
      semblance status --json | jq -r .url
    """
    from ops.commands.service.stack import print_status

    if not print_status(get_settings(), as_json=as_json):
        raise typer.Exit(NOT_RUNNING)


def env() -> None:
    """Print shell variables with which `curl` and Ray's own commands reach the running service.

    They are SEMBLANCE_URL and SEMBLANCE_KEY for requests, and the address and token that [cyan]ray job[/] and
    [cyan]serve[/] need: Ray obeys only callers with its token.

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
    probe: Annotated[Path | None, typer.Option(help="Photo to find lookalikes of.")] = None,
    once: Annotated[bool, typer.Option("--once", envvar="ONCE", help="Exit after the result.")] = False,
) -> None:
    """Start the service, ingest a small gallery, and find the lookalikes of a photo.

    Without options, gallery and photo come with the Python packages.

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
    serve: Annotated[str, typer.Option(help="Address of Ray Serve's proxy.")] = "127.0.0.1:8000",
    dashboard: Annotated[
        str, typer.Option(help="Address of Ray's dashboard, which lists the API's replicas.")
    ] = "127.0.0.1:8265",
    token_file: Annotated[
        Path | None, typer.Option(help="File with Ray's token, if Ray asks for one.")
    ] = None,
) -> None:
    """Run the HTTP gateway in front of a Ray cluster, at SEMBLANCE_HOST and SEMBLANCE_PORT (default 8080).

    [cyan]semblance up[/] does this by itself. On a cluster, start the gateway on the head before Serve is
    deployed. Whenever something behind it is missing, it tells clients when to try again.

    [bold]Examples[/]

      SEMBLANCE_HOST=0.0.0.0 semblance gateway
      semblance gateway --serve 127.0.0.1:8000 --dashboard 127.0.0.1:8265
    """
    from ops.commands.service.gateway import run_gateway

    run_gateway(get_settings(), serve, dashboard, token_file)


def doctor() -> None:
    """Check what usually goes wrong, and name the fix.

    The exit status is 1 if something must be fixed.
    """
    from ops.commands.service.doctor import examine

    if not examine(get_settings()):
        raise typer.Exit(1)


def smoke(
    url: Annotated[
        str, typer.Argument(help="Where clients reach the service, such as https://faces.example.")
    ],
    *,
    token: Annotated[
        str,
        typer.Option(
            envvar="SEMBLANCE_SMOKE_TOKEN",
            show_envvar=True,
            help="Access token of a test account, by `semblance token create` or your identity provider. "
            "Other users of this machine can see what you type here.",
        ),
    ],
    other_token: Annotated[
        str,
        typer.Option(
            envvar="SEMBLANCE_SMOKE_OTHER_TOKEN",
            show_envvar=True,
            help="Access token of a second test account.",
        ),
    ],
    photo: Annotated[
        Path | None, typer.Option(help="Photo of one person. Default: one that comes with the packages.")
    ] = None,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for the matches of a photo.")] = 60,
) -> None:
    """Test a deployed service: sign in, upload, match, like, chat, make a baby picture, clean up.

    It needs two accounts made for this purpose, and counts against their daily limits. What it uploads and
    changes is undone, even after a failure. It prints a table; the exit status is 1 if a step failed.

    [bold]Examples[/]

      export SEMBLANCE_SMOKE_TOKEN=$(semblance token create --email ada@example.edu)
      export SEMBLANCE_SMOKE_OTHER_TOKEN=$(semblance token create --email bob@example.edu)
      semblance smoke https://faces.example
      semblance smoke "$SEMBLANCE_URL" --photo me.jpg
    """
    from ops.commands.service.smoke import run_smoke

    if not run_smoke(url, (token, other_token), photo=photo, patience=patience):
        raise typer.Exit(1)
