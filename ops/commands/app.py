"""The commands of `semblance`. Heavy imports happen inside them, so that --help is instant."""

from __future__ import annotations

import json
import re
import shlex
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from batch.ingest import options as ingest_options
from ops.commands.arguments import given_options
from ops.commands.environment import get_settings
from ops.commands.output import console, fail
from semblance import __version__
from semblance.errors import BadInputError, SemblanceError

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
storage = typer.Typer(no_args_is_help=True, help="The stored pictures.")
tokens = typer.Typer(no_args_is_help=True, help="Access tokens of users, for a machine of your own.")
keys = typer.Typer(no_args_is_help=True, help="API keys of the face-compute endpoints.")
admins = typer.Typer(no_args_is_help=True, help="Users who may change the settings of the app.")
schools = typer.Typer(no_args_is_help=True, help="Schools that users call by several names.")
app.add_typer(models, name="models")
app.add_typer(jobs, name="jobs")
app.add_typer(tokens, name="token")
app.add_typer(keys, name="keys")
app.add_typer(storage, name="storage")
app.add_typer(admins, name="admins")
app.add_typer(schools, name="schools")


def run() -> None:
    """Run the command line; a raised SemblanceError becomes its message and exit status 1."""
    try:
        app()
    except SemblanceError as exc:
        fail(exc.message)
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
    from ops.commands.attach import hold, running_stack  # noqa: PLC0415
    from ops.commands.output import Steps, print_state  # noqa: PLC0415

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
    from ops.stack.front import stop_stack  # noqa: PLC0415
    from ops.stack.home import StackHome  # noqa: PLC0415

    home = StackHome.of(get_settings())
    with console.status("Stopping"):
        stopped = stop_stack(home)
    console.print("Stopped." if stopped else f"Nothing was running in {home.root}.")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For scripts; includes the API key.")] = False,
) -> None:
    """Say whether the service runs, where, with which key, and what is wrong with it since when.

    The exit status is 0 when it is ready, else 3.

    [bold]Examples[/]

      semblance status
      semblance status --json | jq -r .url
    """
    from db.dsn import masked_dsn  # noqa: PLC0415
    from ops.commands.output import print_problems, print_state  # noqa: PLC0415
    from ops.stack.home import StackHome  # noqa: PLC0415
    from ops.stack.serve_deploy import is_ready  # noqa: PLC0415
    from ops.stack.state import StackState, read_state, what_is_wrong  # noqa: PLC0415

    home = StackHome.of(get_settings())
    state = read_state(home)
    problems = what_is_wrong(home)
    ready = state is not None and is_ready(state.url)
    if as_json:
        content = state.model_dump(mode="json") if state else dict.fromkeys(StackState.model_fields)
        if state is not None:
            # Whoever set its password has it; what scripts print ends up in logs.
            content["database_url"] = masked_dsn(state.database_url)
        content["problems"] = [problem.model_dump(mode="json") for problem in problems]
        typer.echo(json.dumps({**content, "home": str(home.root), "ready": ready}, indent=2))
    elif state is None:
        if not problems:
            console.print(f"Nothing runs in {home.root}. Start it with [cyan]semblance up --detach[/].")
        print_problems(problems)
    else:
        print_state(state, title="Ready" if ready else "Running, but /ready does not answer 200")
        print_problems(problems)
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
      ray job submit -- "$PWD/.venv/bin/python" -m batch.ingest ./celebrities
    """
    from ops.stack.home import StackHome  # noqa: PLC0415
    from ops.stack.ray_head import SERVE_FLAGS  # noqa: PLC0415
    from ops.stack.state import read_state  # noqa: PLC0415

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
        # `serve run` binds the application in its own process.
        **SERVE_FLAGS,
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
    from ops.commands.demo import run_demo  # noqa: PLC0415

    try:
        answered = run_demo(get_settings(), gallery=gallery, probe=probe, once=once)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    if not answered:
        raise typer.Exit(1)


@app.command()
def migrate(
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take over the old app's database, while that app goes on.")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Remove what only the old app needed, once it is gone.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    pack: Annotated[
        str | None,
        typer.Option(
            help="Name or digest of the model pack that made the old embeddings, where it is known."
        ),
    ] = None,
) -> None:
    """Bring the database schema up to date.

    Works on SEMBLANCE_OWNER_DATABASE_URL or SEMBLANCE_DATABASE_URL, else on the running stack's database,
    else on the embedded one, which is started for it. [cyan]semblance up[/] does the same by itself.

    [cyan]--adopt[/] and [cyan]--finish[/] first say what they would do, and ask; docs/migration.md leads
    through it. Where nobody can be asked, nothing is changed without [cyan]--yes[/]. The exit status is 1
    where something stands in the way. A run that was interrupted is completed by the same command.

    [bold]Examples[/]

      semblance migrate
      semblance migrate --adopt
      semblance migrate --adopt --yes --pack buffalo_l
      semblance migrate --finish
    """
    if adopt and finish:
        raise BadInputError("--adopt and --finish are two phases; the old app ends between them.")
    if not adopt and not finish:
        if yes or pack is not None:
            raise BadInputError("--yes and --pack belong to --adopt and --finish.")
        from ops.commands.database import migrate_database  # noqa: PLC0415

        migrate_database(get_settings())
        return
    if finish and pack is not None:
        raise BadInputError("--pack belongs to --adopt.")
    from ops.commands.adoption import adopt_database  # noqa: PLC0415

    if not adopt_database(get_settings(), "finish" if finish else "expand", pack=pack, yes=yes):
        raise typer.Exit(1)


@app.command()
def ingest(
    context: typer.Context,
    source: ingest_options.Source,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Submit and return; prints the job's id.")] = False,
    category: ingest_options.Category = None,
    exclude: ingest_options.Exclude = None,
    follow_links: ingest_options.FollowLinks = False,
    allow_private_hosts: ingest_options.AllowPrivateHosts = False,
    min_quality: ingest_options.MinQuality = ingest_options.MIN_QUALITY,
    largest: ingest_options.Largest = False,
    batch_size: ingest_options.BatchSize = ingest_options.BATCH_SIZE,
    actors: ingest_options.Actors = None,
    limit: ingest_options.Limit = None,
    report: ingest_options.ReportFile = None,
    dry_run: ingest_options.DryRun = False,
) -> None:
    """Fill the gallery: submits the ingestion as a Ray job and follows it.

    A folder holds one folder per category and a [cyan]metadata.json[/] with names. What cannot be used, such
    as a photo with several faces, goes to a report with the reason. It can be interrupted and repeated:
    what is stored already is skipped. Ctrl-C ends the following, not the job. The exit status is the job's,
    or 3 where the service is stopped under it.

    [bold]Examples[/]

      semblance ingest ./celebrities
      semblance ingest --dry-run ./celebrities
      semblance ingest people.csv --category athletes
      semblance ingest /volume1/photo --exclude drafts --exclude '*.txt'
      semblance ingest s3://bucket/celebrities
    """
    from ops.commands.jobs import ingest_source  # noqa: PLC0415

    options = given_options(context, without={"detach"})
    raise typer.Exit(ingest_source(get_settings(), source, options, follow=not detach))


@app.command()
def worker(
    once: Annotated[
        bool, typer.Option("--once", help="End when no job is due, and say what was done.")
    ] = False,
) -> None:
    """Work on match jobs in this process, without Ray: finds the matches of faces that were uploaded.

    The running service does so by itself. Any number of workers share one queue, on any machines that reach
    SEMBLANCE_DATABASE_URL and the storage; a killed one's jobs go to the others.

    [bold]Examples[/]

      semblance worker
      semblance worker --once
    """
    from ops.commands.worker import run_worker  # noqa: PLC0415

    run_worker(get_settings(), once=once)


@app.command()
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
    from ops.commands.gateway import run_gateway  # noqa: PLC0415

    run_gateway(get_settings(), serve, dashboard, token_file)


@app.command()
def rescore(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, but write nothing.")] = False,
) -> None:
    """Bring the stored matches up to the present weights and threshold, from their stored factors.

    New weights take effect at the next search of each face; this applies them to what was found before,
    without looking at a face or a model. Matches now below the threshold are removed, except those of users
    that are liked, or that something was made or said of. It runs beside the service, notifies nobody, and
    can be interrupted and repeated: what is done already is not done again. Works on SEMBLANCE_DATABASE_URL,
    else on the running stack's database, else on the embedded one, which is started for it.

    [cyan]POST /api/admin/settings/preview[/] tells beforehand what other weights would do. Matches that only
    the new weights make are found by [cyan]python -m batch.rematch[/].

    [bold]Examples[/]

      semblance rescore --dry-run
      semblance rescore
    """
    from ops.commands.rescore import rescore_matches  # noqa: PLC0415

    rescore_matches(get_settings(), dry_run=dry_run)


@app.command()
def doctor() -> None:
    """Check what usually goes wrong, and name the fix.

    The exit status is 1 when something must be fixed.
    """
    from ops.commands.doctor import examine  # noqa: PLC0415

    if not examine(get_settings()):
        raise typer.Exit(1)


@app.command()
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
    from ops.commands.smoke import run_smoke  # noqa: PLC0415

    if not run_smoke(url, (token, other_token), photo=photo, patience=patience):
        raise typer.Exit(1)


@models.command("list")
def models_list() -> None:
    """All model packs that can be named in SEMBLANCE_PACK, checked."""
    from ops.commands.models import list_models  # noqa: PLC0415

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
    from ops.commands.models import verify_model  # noqa: PLC0415

    verify_model(get_settings(), name)


@models.command("show")
def models_show(
    name: Annotated[str | None, typer.Argument(help="A pack or a path; without it, the one in use.")] = None,
) -> None:
    """What a pack is made of: its nets, its threshold, its licence, its digest."""
    from ops.commands.models import show_model  # noqa: PLC0415

    show_model(get_settings(), name)


@jobs.command("list")
def jobs_list() -> None:
    """All jobs since the stack was started, and how they are doing."""
    from ops.commands.jobs import list_jobs  # noqa: PLC0415

    list_jobs(get_settings())


@jobs.command("follow")
def jobs_follow(job_id: Annotated[str, typer.Argument(help="As `semblance jobs list` shows it.")]) -> None:
    """Print a job's log from its beginning until it ends; the exit status is the job's."""
    from ops.commands.jobs import follow_job  # noqa: PLC0415

    raise typer.Exit(follow_job(get_settings(), job_id))


@jobs.command("stop")
def jobs_stop(job_id: Annotated[str, typer.Argument(help="As `semblance jobs list` shows it.")]) -> None:
    """Ask a job to end. A stopped ingestion can be submitted again and goes on where it was."""
    from ops.commands.jobs import stop_job  # noqa: PLC0415

    stop_job(get_settings(), job_id)


@tokens.command("create")
def token_create(
    *,
    email: Annotated[str, typer.Option(help="The user's e-mail address; its school becomes theirs.")],
    user_id: Annotated[
        UUID | None, typer.Option("--id", help="The user's id. Without it, always the same for an address.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name a new profile begins with.")] = None,
    hours: Annotated[int, typer.Option(min=1, max=8760, help="How long the token is valid.")] = 24,
) -> None:
    """Print an access token, as the identity provider would give a user who signs in.

    For a machine of your own: it is signed with the service's own secret, SEMBLANCE_JWT_SECRET or the one
    in the home, so it is taken by a service with the same settings. The profile is made by the first request.

    [bold]Examples[/]

      semblance token create --email ada@mit.edu --name Ada
      TOKEN=$(semblance token create --email ada@mit.edu)
      curl -H "Authorization: Bearer $TOKEN" "$SEMBLANCE_URL/api/auth/me"
    """
    from ops.commands.tokens import print_token  # noqa: PLC0415

    print_token(get_settings(), email, user_id=user_id, name=name, lifetime=timedelta(hours=hours))


class KeyScope(StrEnum):
    """What an API key can open."""

    COMPUTE = "compute"
    SEARCH = "search"


@keys.command("create")
def keys_create(
    *,
    name: Annotated[str, typer.Option(help="Who or what will use it; for your own eyes.")],
    scope: Annotated[list[KeyScope], typer.Option(help="What it opens; several are possible.")] = [  # noqa: B006
        KeyScope.COMPUTE
    ],
) -> None:
    """Make an API key and print it, once: only its hash is kept.

    [cyan]compute[/] opens the endpoints that find, describe and compare faces, [cyan]search[/] the search
    among users' faces. Works on the database of [cyan]semblance migrate[/], with the rights of its owner.

    [bold]Examples[/]

      semblance keys create --name "photo booth"
      KEY=$(semblance keys create --name booth)
      curl -H "Authorization: Bearer $KEY" -F file=@photo.jpg "$SEMBLANCE_URL/lookalikes"
    """
    from ops.commands.keys import create_key  # noqa: PLC0415

    create_key(get_settings(), name, [item.value for item in scope])


@keys.command("list")
def keys_list() -> None:
    """All API keys, also the revoked ones: how they begin, what they open, when they were used last."""
    from ops.commands.keys import list_keys  # noqa: PLC0415

    list_keys(get_settings())


@keys.command("revoke")
def keys_revoke(key_id: Annotated[UUID, typer.Argument(help="As `semblance keys list` shows it.")]) -> None:
    """End an API key, for good; the next request with it is refused."""
    from ops.commands.keys import revoke_key  # noqa: PLC0415

    revoke_key(get_settings(), key_id)


@admins.command("add")
def admins_add(email: Annotated[str, typer.Argument(help="Of somebody who has signed in once.")]) -> None:
    """Make a user an admin: /api/admin is open to them from the next request on.

    [bold]Examples[/]

      semblance admins add ada@example.edu
    """
    from ops.commands.admins import set_role  # noqa: PLC0415

    set_role(get_settings(), email, "admin")


@admins.command("remove")
def admins_remove(email: Annotated[str, typer.Argument(help="As `semblance admins list` shows it.")]) -> None:
    """Take an admin's rights away."""
    from ops.commands.admins import set_role  # noqa: PLC0415

    set_role(get_settings(), email, "user")


@admins.command("list")
def admins_list() -> None:
    """All admins."""
    from ops.commands.admins import list_admins  # noqa: PLC0415

    list_admins(get_settings())


@schools.command("import")
def schools_import(
    file: Annotated[Path, typer.Argument(help="CSV, JSON or JSON lines.", exists=True, dir_okay=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would change, but write nothing.")
    ] = False,
) -> None:
    """Tell which names and domains mean one school, so that its users are matched with each other.

    The columns are name, domains and aliases; of the latter two several stand in one cell with semicolons
    between them, in JSON in a list. A school of the same name is changed, and keeps what has no column here;
    others stay. Faces of users who are then of another school are matched again at once. Works on
    SEMBLANCE_DATABASE_URL, else on the running stack's database, else on the embedded one, which is started
    for it. The exit status is 1 where a row could not be taken.

    [bold]Examples[/]

      semblance schools import schools.csv --dry-run
      semblance schools import schools.json
    """
    from ops.commands.schools import import_schools  # noqa: PLC0415

    if not import_schools(get_settings(), file, dry_run=dry_run):
        raise typer.Exit(1)


@schools.command("list")
def schools_list(
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Instead what users call schools that are not among them.")
    ] = False,
) -> None:
    """All schools that go by several names, and how many users are of each."""
    from ops.commands.schools import list_schools, list_unknown_schools  # noqa: PLC0415

    (list_unknown_schools if unknown else list_schools)(get_settings())


def _duration(text: str) -> timedelta:
    """`90s`, `15m`, `1h` or `2d`."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if found is None:
        raise typer.BadParameter("write a number and s, m, h or d, like 1h")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: int(found[1])})


@storage.command("sweep")
def storage_sweep(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, but remove nothing.")] = False,
    grace: Annotated[
        timedelta,
        typer.Option(
            parser=_duration,
            metavar="TIME",
            help="How long a picture may be without a row: longer than any upload takes.",
        ),
    ] = "1h",  # type: ignore[assignment]  # parsed like what is typed
    force: Annotated[
        bool, typer.Option("--force", help="Go on although no stored picture belongs to the database.")
    ] = False,
) -> None:
    """Remove pictures that no row of the database names, and report rows whose picture is missing.

    What a crash leaves of an upload is cleared up so; what it leaves of a deletion, the match workers
    finish by themselves. It can run at any time, beside the service, and be repeated. Rows are never
    removed. Works on SEMBLANCE_DATABASE_URL, else on the running stack's database, else on the embedded
    one, which is started for it.

    The exit status is 1 when a row's picture is missing.

    [bold]Examples[/]

      semblance storage sweep --dry-run
      semblance storage sweep
      semblance storage sweep --grace 1d
    """
    from ops.commands.storage import sweep_storage  # noqa: PLC0415

    if not sweep_storage(get_settings(), grace=grace, dry_run=dry_run, force=force):
        raise typer.Exit(1)


@storage.command("clean")
def storage_clean(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, but change nothing.")] = False,
) -> None:
    """Store again as pixels alone what is stored as it came: users' photos, celebrities, baby pictures.

    Such files may say where and with which camera a photo was taken, or be of a format that browsers do not
    show. Each is replaced by an upright JPEG in sRGB without metadata, with a feed size and a thumbnail
    beside it; its row and the chats that show it follow, and the old file is removed. Interrupted or killed,
    the same command goes on; it can run beside the service. Works on the database that `migrate` does, as its
    owner.

    The exit status is 1 when a picture could not be cleaned.

    [bold]Examples[/]

      semblance storage clean --dry-run
      semblance storage clean
    """
    from ops.commands.storage import clean_storage  # noqa: PLC0415

    if not clean_storage(get_settings(), dry_run=dry_run):
        raise typer.Exit(1)


@storage.command("copy")
def storage_copy(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask for each picture whether it is there, and change nothing.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="File of JSON lines, one per picture; a new one in the home by default."),
    ] = None,
) -> None:
    """Copy the old system's pictures into the picture store, and let their rows name the copies.

    Where they lie says SEMBLANCE_OLD_STORAGE, by table. Each is stored as an upload is: upright, without
    metadata, with a feed size and a thumbnail beside it. The files are read back before the row changes, and
    chats that show the picture follow. The originals stay; what is missing or cannot be read is named, and
    its row stays as it is. The old system finds no picture any more whose row has changed, so first let its
    clients go.

    Interrupted or killed, the same command goes on; it can run beside the service. Works on the database that
    `migrate` does, as its owner. The exit status is 1 when a picture was not copied.

    [bold]Examples[/]

      semblance storage copy --dry-run
      semblance storage copy --report copied.jsonl
    """
    from ops.commands.storage import copy_storage  # noqa: PLC0415

    if not copy_storage(get_settings(), dry_run=dry_run, report=report):
        raise typer.Exit(1)
