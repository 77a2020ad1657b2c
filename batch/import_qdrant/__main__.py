"""`python -m batch.import_qdrant`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from batch.command import job_command
from batch.import_qdrant.job import PointSource, import_into_faces
from batch.import_qdrant.points import FIELDS, PayloadFields
from semblance.errors import ConfigurationError


def open_collection(url: str, name: str, api_key: str | None) -> PointSource:
    """Raises ConfigurationError if the Qdrant client is not installed, or for an address that is neither a
    server's nor a folder."""
    try:
        from batch.import_qdrant.collection import QdrantCollection  # noqa: PLC0415 - its client is an extra
    except ModuleNotFoundError as exc:
        if exc.name != "qdrant_client":
            raise
        raise ConfigurationError(
            "The Qdrant client is not installed here. Install it into this environment, for example with "
            "`.venv/bin/python -m pip install qdrant-client`, and run the command again."
        ) from exc
    return QdrantCollection(url, name, api_key)


def main(
    url: Annotated[str, typer.Argument(help="http(s) address of Qdrant, or a folder of its local mode.")],
    *,
    collection: Annotated[str, typer.Option(help="Name of the collection.")] = "faces",
    api_key: Annotated[
        str | None, typer.Option(envvar="QDRANT_API_KEY", help="Key of the server.", show_envvar=True)
    ] = None,
    pack: Annotated[
        str | None,
        typer.Option(
            help="Name or digest of the pack that made the embeddings. "
            "[default: that of SEMBLANCE_PACK, if all faces have it]"
        ),
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Make faces for points without one, if their profiles exist.")
    ] = False,
    face_field: Annotated[str, typer.Option(help="Payload field with the id of the face.")] = FIELDS.face,
    profile_field: Annotated[str, typer.Option(help="With the id of its profile.")] = FIELDS.profile,
    path_field: Annotated[str, typer.Option(help="With the path of its picture.")] = FIELDS.path,
    hash_field: Annotated[str, typer.Option(help="With the MD5 of its picture, if any.")] = FIELDS.hash,
    time_field: Annotated[str, typer.Option(help="With the time of its upload, if any.")] = FIELDS.time,
) -> None:
    """Write the embeddings of a Qdrant collection to the faces they belong to.

    A point belongs to the face whose row names it in `qdrant_point_id`, if the table still has that column,
    else to the face in the payload's face_id, else to the face with the point's id. Name the pack that made
    the embeddings. If it is unknown, give the digest that `semblance migrate --adopt` gave to those in the
    database, so that all are compared with each other. A face that has an embedding keeps it; a different one
    in the collection is reported as a mismatch.

    With --create a face is made for each point without one, with the profile and picture in its payload. A
    collection may still contain faces that their users have deleted, so use this only if the table of faces
    was lost. Profiles are never made. The command ends with a table of what the database has and of what
    payloads lack. The exit status is 1 if a point was not taken.

    \b
      python -m batch.import_qdrant http://qdrant:6333 --pack buffalo_l
      python -m batch.import_qdrant ./qdrant_storage --collection faces
      python -m batch.import_qdrant http://qdrant:6333 --create --profile-field user_id
    """
    console = Console()
    fields = PayloadFields(face_field, profile_field, path_field, hash_field, time_field)
    with job_command() as settings, open_collection(url, collection, api_key) as source:
        result = asyncio.run(
            import_into_faces(source, settings, console, pack=pack, fields=fields, create=create)
        )
        console.print(result.table())
        if result.creatable:
            console.print(f"{result.creatable:,} points without a face could become one: --create does that.")
        if result.refused:
            console.print(f"report: {result.report}", highlight=False, soft_wrap=True)
            raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
