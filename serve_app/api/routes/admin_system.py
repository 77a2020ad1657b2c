"""How the whole service is, for operators."""

from __future__ import annotations

import asyncio
import platform
import shutil
from itertools import chain
from typing import Final
from urllib.parse import unquote, urlsplit

import ray

from db.migrate import MIGRATIONS
from deployments.packs.registry import describe_pack
from deployments.ray_metrics import merged, node_exports
from semblance import __version__
from semblance.errors import NotReadyError
from semblance.findings import Finding
from semblance.recorder import local
from semblance.settings import Settings
from serve_app.api.dependencies import Injected, Operator
from serve_app.api.responses import errors
from serve_app.api.topics import Topic
from serve_app.preflight import WHILE_RUNNING
from serve_app.schemas.admin_system import (
    DatabaseAnswer,
    DeploymentAnswer,
    FindingAnswer,
    FindingsAnswer,
    IndexAnswer,
    PackAnswer,
    PictureStoreAnswer,
    RouteAnswer,
    SystemAnswer,
    TableAnswer,
    VersionsAnswer,
)
from serve_app.serving import WITHOUT_RAY, DeploymentState, deployments
from serve_app.traffic import traffic_of

router = Topic(prefix="/admin/system", tags=["admin"])

_ROUTES: Final = 20
"""Most routes of one answer."""

_RELATIONS: Final = 12
"""Most tables, and most indexes."""


@router.get("", responses=errors(401, 403))
async def get_system(_: Operator, services: Injected) -> SystemAnswer:
    """How the service is: its deployments with what waits for them, requests and how long they took, the
    model pack, the database, the picture store and versions."""
    exports = await node_exports()
    problem, states = None, list[DeploymentState]()
    if not ray.is_initialized():
        problem = WITHOUT_RAY
    else:
        try:
            states = await deployments(exports)
        except NotReadyError as exc:
            problem = exc.answer
    text = merged(exports) if ray.is_initialized() else local.text()
    traffic = await asyncio.to_thread(traffic_of, text)
    facts, tables, indexes = await asyncio.gather(
        services.db.statistics.facts(),
        services.db.statistics.largest_tables(_RELATIONS),
        services.db.statistics.largest_indexes(_RELATIONS),
    )
    pack, pictures = await asyncio.gather(
        asyncio.to_thread(_pack, services.settings), asyncio.to_thread(_pictures, services.settings)
    )
    return SystemAnswer(
        versions=VersionsAnswer(semblance=__version__, python=platform.python_version(), ray=ray.__version__),
        deployments=[DeploymentAnswer.of(state) for state in states],
        problem=problem,
        routes=None
        if ray.is_initialized() and not exports
        else [RouteAnswer.of(each) for each in traffic[:_ROUTES]],
        pack=pack,
        database=DatabaseAnswer(
            postgres=facts.postgres,
            pgvector=facts.pgvector,
            bytes=facts.bytes,
            revision=facts.revision,
            newest_revision=MIGRATIONS[-1].revision,
            tables=[TableAnswer.of(table) for table in tables],
            indexes=[IndexAnswer.of(index) for index in indexes],
        ),
        pictures=pictures,
    )


@router.get("/findings", responses=errors(401, 403))
async def check_system(_: Operator, services: Injected) -> FindingsAnswer:
    """What the checks of `semblance doctor` find that also apply to a running replica. They store, read and
    remove a picture, and may take some seconds."""

    def check(number: int) -> list[Finding]:
        return list(WHILE_RUNNING[number](services.settings))

    found = await asyncio.gather(*(asyncio.to_thread(check, number) for number in range(len(WHILE_RUNNING))))
    return FindingsAnswer(findings=[FindingAnswer.of(finding) for finding in chain.from_iterable(found)])


def _pack(settings: Settings) -> PackAnswer:
    described = describe_pack(settings)
    card = described.folder / "CARD.md"
    return PackAnswer(
        name=described.manifest.name,
        digest=described.manifest.digest,
        description=described.manifest.description,
        licence=described.manifest.licence.name,
        commercial_use=described.commercial_use,
        card=card.read_text(encoding="utf-8") if card.is_file() else None,
    )


def _pictures(settings: Settings) -> PictureStoreAnswer:
    place = settings.storage_url or (settings.home.absolute() / "objects").as_uri()
    if not place.startswith("file:"):
        return PictureStoreAnswer(
            kind="bucket", place=place.partition("?")[0], free_bytes=None, size_bytes=None
        )
    folder = unquote(urlsplit(place).path)
    disk = shutil.disk_usage(folder)
    return PictureStoreAnswer(kind="folder", place=folder, free_bytes=disk.free, size_bytes=disk.total)
