"""The commands of `semblance`. Heavy imports happen inside them, so that --help is instant."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from semblance import __version__
from semblance.cli.output import console, fail
from semblance.errors import SemblanceError
from semblance.settings import get_settings

NOT_RUNNING = 3
"""Exit status of `status` without a stack, as of `pg_ctl status`."""

app = typer.Typer(
    name="semblance",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Who looks like this face? A lookalike service on Ray Serve and PostgreSQL.

[bold]First steps[/]

  semblance demo                      everything, on photos that come with the packages
  semblance up --detach               start the service and return
  semblance ingest ./celebrities      fill the gallery
  semblance status                    addresses and the API key
  eval "$(semblance env)"             the same as variables, for curl and ray job submit
  semblance down                      stop the service

All state lies in one folder, [cyan].semblance[/] here or where [cyan]SEMBLANCE_HOME[/] says. Settings are
environment variables, all described in [cyan]semblance/settings.py[/]; for example
[cyan]SEMBLANCE_DATABASE_URL[/] for a PostgreSQL of your own and [cyan]SEMBLANCE_PACK[/] for other models.
""",
)
models = typer.Typer(
    no_args_is_help=True, help="Model packs: which there are, what they are, whether intact."
)
jobs = typer.Typer(no_args_is_help=True, help="Ray jobs of the running stack, ingestions among them.")
app.add_typer(models, name="models")
app.add_typer(jobs, name="jobs")


def run() -> None:
    """Run the command line; a raised SemblanceError becomes its message and exit status 1."""
    try:
        app()
    except SemblanceError as exc:
        fail(exc.message)
        raise SystemExit(1) from exc
    except ValidationError as exc:
        for problem in exc.errors():
            name = "SEMBLANCE_" + "_".join(str(part) for part in problem["loc"]).upper()
            fail(f"{name}: {problem['msg']}")
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
    pass


@app.command()
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
    from semblance.cli.attach import hold, running_stack  # noqa: PLC0415
    from semblance.cli.output import Steps, print_state  # noqa: PLC0415

    try:
        with Steps() as steps, running_stack(get_settings(), steps) as (state, started):
            steps.end()
            if started is None:
                print_state(state, title="Already up")
                return
            print_state(state, title="Ready")
            if detach:
                started.detach()
                return
            console.print("Ctrl-C stops everything.")
            hold(started)
    except KeyboardInterrupt:
        # The way to end it, not a failure.
        raise typer.Exit(0) from None


@app.command()
def down() -> None:
    """Stop the service of this home, and clear up what a killed one has left.

    The data stays. Other services on the machine, also other Ray clusters, are not touched.
    """
    from semblance.stack.front import stop_stack  # noqa: PLC0415
    from semblance.stack.home import StackHome  # noqa: PLC0415

    home = StackHome.of(get_settings())
    with console.status("Stopping"):
        stopped = stop_stack(home)
    console.print("Stopped." if stopped else f"Nothing was running in {home.root}.")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For scripts; includes the API key.")] = False,
) -> None:
    """Say whether the service runs, where, and with which key.

    The exit status is 0 when it is ready, else 3.

    [bold]Examples[/]

      semblance status
      semblance status --json | jq -r .url
    """
    from semblance.cli.output import print_state  # noqa: PLC0415
    from semblance.stack.home import StackHome  # noqa: PLC0415
    from semblance.stack.serve_deploy import is_ready  # noqa: PLC0415
    from semblance.stack.state import StackState, read_state  # noqa: PLC0415

    home = StackHome.of(get_settings())
    state = read_state(home)
    ready = state is not None and is_ready(state.url)
    if as_json:
        content = state.model_dump(mode="json") if state else dict.fromkeys(StackState.model_fields)
        typer.echo(json.dumps({**content, "home": str(home.root), "ready": ready}, indent=2))
    elif state is None:
        console.print(f"Nothing runs in {home.root}. Start it with [cyan]semblance up --detach[/].")
    else:
        print_state(state, title="Ready" if ready else "Running, but /ready does not answer 200")
    if not ready:
        raise typer.Exit(NOT_RUNNING)


@app.command()
def env() -> None:
    """Print the shell variables with which `curl` and Ray's own commands reach the running service.

    Sets SEMBLANCE_URL and SEMBLANCE_KEY for requests, and the address and token that [cyan]ray job[/] and
    [cyan]serve[/] need: the stack's Ray takes orders only with its own token.

    [bold]Examples[/]

      eval "$(semblance env)"
      curl -H "Authorization: Bearer $SEMBLANCE_KEY" -F file=@photo.jpg "$SEMBLANCE_URL/lookalikes"
      ray job submit -- $PWD/.venv/bin/python -m batch.ingest ./celebrities
    """
    from semblance.stack.home import StackHome  # noqa: PLC0415
    from semblance.stack.state import read_state  # noqa: PLC0415

    home = StackHome.of(get_settings())
    state = read_state(home)
    if state is None:
        fail(f"Nothing runs in {home.root}. Start it with `semblance up --detach`.")
        raise typer.Exit(NOT_RUNNING)
    variables = {
        "SEMBLANCE_URL": state.url,
        "SEMBLANCE_KEY": state.api_key,
        "RAY_API_SERVER_ADDRESS": state.dashboard_url,
        "RAY_DASHBOARD_ADDRESS": state.dashboard_url,
        "RAY_ADDRESS": state.ray_address,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(state.ray_token_file),
        # As the stack's own processes have it: else Ray looks for 127.0.0.1 at the machine's address.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
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
    from semblance.cli.demo import run_demo  # noqa: PLC0415

    try:
        answered = run_demo(get_settings(), gallery=gallery, probe=probe, once=once)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    if not answered:
        raise typer.Exit(1)


@app.command()
def migrate() -> None:
    """Bring the database schema up to date.

    Works on SEMBLANCE_DATABASE_URL, else on the running stack's database, else on the embedded one, which
    is started for it. [cyan]semblance up[/] does the same by itself.
    """
    from semblance.cli.database import migrate_database  # noqa: PLC0415

    migrate_database(get_settings())


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def ingest(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="Folder, manifest (CSV, JSONL, Parquet) or s3:// address.")],
    detach: Annotated[bool, typer.Option("--detach", help="Submit and return; prints the job's id.")] = False,
) -> None:
    """Fill the gallery: submits the ingestion as a Ray job and follows it.

    A folder holds one folder per category and a [cyan]metadata.json[/] with names. What cannot be used, such
    as a photo with several faces, goes to a report with the reason. It can be interrupted and repeated:
    what is stored already is skipped. Further options go to the job; [cyan]python -m batch.ingest --help[/]
    lists them. The exit status is the job's.

    [bold]Examples[/]

      semblance ingest ./celebrities
      semblance ingest people.csv
      semblance ingest s3://bucket/celebrities
    """
    from semblance.cli.jobs import ingest_source  # noqa: PLC0415

    raise typer.Exit(ingest_source(get_settings(), source, context.args, follow=not detach))


@app.command()
def doctor() -> None:
    """Check what usually goes wrong, and name the fix.

    The exit status is 1 when something must be fixed.
    """
    from semblance.cli.doctor import examine  # noqa: PLC0415

    if not examine(get_settings()):
        raise typer.Exit(1)


@models.command("list")
def models_list() -> None:
    """All model packs that can be named in SEMBLANCE_PACK, checked."""
    from semblance.cli.models import list_models  # noqa: PLC0415

    list_models(get_settings())


@models.command("verify")
def models_verify(
    name: Annotated[str | None, typer.Argument(help="A pack or a path; without it, the one in use.")] = None,
) -> None:
    """Compare every file of a pack with its recorded SHA-256.

    [bold]Examples[/]

      semblance models verify
      semblance models verify buffalo_l
    """
    from semblance.cli.models import verify_model  # noqa: PLC0415

    verify_model(get_settings(), name)


@models.command("show")
def models_show(
    name: Annotated[str | None, typer.Argument(help="A pack or a path; without it, the one in use.")] = None,
) -> None:
    """What a pack is made of: its nets, its threshold, its licence, its digest."""
    from semblance.cli.models import show_model  # noqa: PLC0415

    show_model(get_settings(), name)


@jobs.command("list")
def jobs_list() -> None:
    """All jobs since the stack was started, and how they are doing."""
    from semblance.cli.jobs import list_jobs  # noqa: PLC0415

    list_jobs(get_settings())


@jobs.command("follow")
def jobs_follow(job_id: Annotated[str, typer.Argument(help="As `semblance jobs list` shows it.")]) -> None:
    """Print a job's log from its beginning until it ends; the exit status is the job's."""
    from semblance.cli.jobs import follow_job  # noqa: PLC0415

    raise typer.Exit(follow_job(get_settings(), job_id))


@jobs.command("stop")
def jobs_stop(job_id: Annotated[str, typer.Argument(help="As `semblance jobs list` shows it.")]) -> None:
    """Ask a job to end. A stopped ingestion can be submitted again and goes on where it was."""
    from semblance.cli.jobs import stop_job  # noqa: PLC0415

    stop_job(get_settings(), job_id)
