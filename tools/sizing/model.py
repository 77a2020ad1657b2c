"""From users and photos to cores, memory, disk, connections and machines."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from tools.sizing.constants import Constants, Machine

DAY_S = 86_400
GB = 1e9
HOURS_A_MONTH = 730
"""365 days of 24 hours, divided by 12: what clouds call a month."""


class Demand(BaseModel):
    """What users do. The defaults are guesses; your own numbers are better."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: int = Field(10_000, ge=1, description="Users with an account.")
    photos_a_day: int = Field(1_000, ge=0, description="Photos that they upload a day.")
    celebrities: int = Field(10_000, ge=0, description="Pictures in the gallery.")
    peak_factor: float = Field(6, ge=1, description="How many times the day's mean the busiest minutes have.")
    faces_a_user: float = Field(3, ge=0, description="Photos that a user keeps.")
    matches_a_face: float = Field(20, ge=0, description="Other users whom a face matches.")
    reads_a_photo: float = Field(100, ge=0, description="Pages and lists that are read for each upload.")
    connected: float = Field(
        0.05, ge=0, le=1, description="Share of the users with the app open at the peak."
    )
    watchers: int = Field(0, ge=0, description="Of them, how many watch the feed of all new matches.")


@dataclass(frozen=True, slots=True)
class ServiceNeed:
    """What all replicas need at the peak. cores: busy to the share that is assumed. replicas_gib: GiB of
    memory of all of them. machine_gib: GiB on each machine, beside them."""

    cores: float
    replicas_gib: float
    machine_gib: float


@dataclass(frozen=True, slots=True)
class DatabaseNeed:
    """What the database needs at the peak. cores: as of the service. memory_gib: GiB. disk_gb: GB."""

    cores: float
    memory_gib: float
    disk_gb: float


@dataclass(frozen=True, slots=True)
class Need:
    """What a demand takes. photos_s, reads_s: a second, at the peak. deliveries_s: events to sockets.
    pictures_gb: of the bucket. connections: to the database, from all replicas."""

    photos_s: float
    reads_s: float
    deliveries_s: float
    sockets: int
    service: ServiceNeed
    database: DatabaseNeed
    pictures_gb: float
    api_replicas: int
    matcher_replicas: int
    connections: int


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """Machines for a need, and USD a month at list prices. database: None if it runs on the only one of the
    service."""

    machine: Machine
    count: int
    database: Machine | None
    usd: float


def need(demand: Demand, known: Constants) -> Need:
    """What a demand takes."""
    photos_s = demand.photos_a_day / DAY_S * demand.peak_factor
    reads_s = photos_s * demand.reads_a_photo
    sockets = math.ceil(demand.users * demand.connected)
    # The uploader has the app open; of those matched, as many as of all.
    listening = demand.watchers + 1 + demand.connected
    deliveries_s = photos_s * demand.matches_a_face * listening

    photo_ms = (
        known["photo_ms"]
        + known["face_service_ms"]
        + known["job_service_ms"]
        + known["pass_ms"] * demand.celebrities / 1e6
    )
    service_ms = (
        photos_s * photo_ms + reads_s * known["read_service_ms"] + deliveries_s * known["delivery_ms"]
    )
    database_ms = (
        photos_s * (known["face_database_ms"] + known["job_database_ms"])
        + reads_s * known["read_database_ms"]
    )
    service_cores = service_ms / 1000 / known["busy"]
    database_cores = database_ms / 1000 / known["busy"]

    faces = demand.users * demand.faces_a_user
    gallery = demand.celebrities * known["celebrity_bytes"]
    users = (
        demand.users * known["profile_bytes"]
        + faces * known["face_bytes"]
        # A match is of two faces.
        + faces * demand.matches_a_face / 2 * known["match_bytes"]
        + faces * known["celebrity_matches"] * known["celebrity_match_bytes"] * (demand.celebrities > 0)
        + demand.photos_a_day * known["jobs_kept_days"] * known["match_job_bytes"]
    )
    api = max(1, math.ceil(sockets / known["sockets_a_replica"] + service_cores / known["cores_an_api"]))
    matchers = max(1, math.ceil(photos_s * known["job_service_ms"] / 1000 / known["busy"]))
    connections = math.ceil((api + matchers + 1) * (known["pool"] + 1))
    return Need(
        photos_s=photos_s,
        reads_s=reads_s,
        deliveries_s=deliveries_s,
        sockets=sockets,
        service=ServiceNeed(
            cores=service_cores,
            replicas_gib=known["core_gib"] * service_cores + known["api_gib"] * (api - 1),
            machine_gib=known["stack_gib"]
            + known["galleries"] * demand.celebrities * known["gallery_bytes"] / 2**30,
        ),
        database=DatabaseNeed(
            cores=database_cores,
            memory_gib=known["server_gib"]
            + known["connection_mib"] * min(connections, known["pooled"]) / 1024
            + (gallery + users * known["hot"]) / 2**30,
            disk_gb=(gallery + users) * known["room"] / GB + known["wal_gb"],
        ),
        pictures_gb=(faces + demand.celebrities) * known["picture_bytes"] / GB,
        api_replicas=api,
        matcher_replicas=matchers,
        connections=connections,
    )


def plans(wanted: Need, known: Constants) -> Iterator[MachinePlan]:
    """Service and database together on one machine of each type that is large enough; and for each type as
    many as the service takes and one more, so that one may be lost, with the cheapest machine for the
    database."""
    storage = wanted.database.disk_gb * known.prices.disk_usd + wanted.pictures_gb * known.prices.objects_usd
    service, server = wanted.service, wanted.database
    for machine in known.prices.machines:
        memory_gib = service.machine_gib + service.replicas_gib + server.memory_gib
        if machine.cores >= service.cores + server.cores and machine.memory_gib >= memory_gib:
            yield MachinePlan(machine, 1, None, _month(machine) + storage)
    fitting = [
        machine
        for machine in known.prices.machines
        if machine.cores >= server.cores and machine.memory_gib >= server.memory_gib
    ]
    database = min(fitting, key=_month, default=None)
    if database is None:
        return
    for machine in known.prices.machines:
        room_gib = machine.memory_gib - service.machine_gib
        if room_gib > 0:
            taken = max(service.cores / machine.cores, service.replicas_gib / room_gib)
            count = max(1, math.ceil(taken)) + 1
            yield MachinePlan(machine, count, database, count * _month(machine) + _month(database) + storage)


def _month(machine: Machine) -> float:
    return machine.usd_an_hour * HOURS_A_MONTH
