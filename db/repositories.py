"""All repositories over one pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from db.accounts import Accounts
from db.api_keys import ApiKeys
from db.audit import AuditLog
from db.babies import Babies
from db.celebrities import Celebrities
from db.connections import Connections
from db.console_sessions import ConsoleSessions
from db.events import Events
from db.face_searches import FaceSearches
from db.faces import Faces
from db.generation_logs import GenerationLogs
from db.inference_jobs import InferenceJobs
from db.ingestions import Ingestions
from db.job_queue import JobQueue
from db.jobs import MatchJobs
from db.matches import Matches
from db.messages import Messages
from db.notifications import Notifications
from db.object_deletions import ObjectDeletions
from db.people import People
from db.pool import Database
from db.presence import Presence
from db.profiles import Profiles
from db.ray_jobs import RayJobRows
from db.reactions import Reactions
from db.realtime_sessions import RealtimeSessions
from db.rescorings import Rescorings
from db.schools import Schools
from db.sessions import Sessions
from db.statistics import DatabaseStatistics
from db.system_settings import SystemSettingsTable
from db.text_search import TextSearch


@dataclass(frozen=True, slots=True)
class Repositories:
    """Each table group's queries, by the name of what it holds."""

    accounts: Accounts
    api_keys: ApiKeys
    audit_log: AuditLog
    babies: Babies
    celebrities: Celebrities
    connections: Connections
    console_sessions: ConsoleSessions
    events: Events
    face_searches: FaceSearches
    faces: Faces
    generation_logs: GenerationLogs
    inference_jobs: InferenceJobs
    ingestions: Ingestions
    job_queue: JobQueue
    jobs: MatchJobs
    matches: Matches
    messages: Messages
    notifications: Notifications
    object_deletions: ObjectDeletions
    people: People
    presence: Presence
    profiles: Profiles
    ray_jobs: RayJobRows
    reactions: Reactions
    realtime_sessions: RealtimeSessions
    rescorings: Rescorings
    schools: Schools
    sessions: Sessions
    statistics: DatabaseStatistics
    system_settings: SystemSettingsTable
    text_search: TextSearch

    @classmethod
    def of(cls, database: Database) -> Self:
        return cls(
            accounts=Accounts(database),
            api_keys=ApiKeys(database),
            audit_log=AuditLog(database),
            babies=Babies(database),
            celebrities=Celebrities(database),
            connections=Connections(database),
            console_sessions=ConsoleSessions(database),
            events=Events(database),
            face_searches=FaceSearches(database),
            faces=Faces(database),
            generation_logs=GenerationLogs(database),
            inference_jobs=InferenceJobs(database),
            ingestions=Ingestions(database),
            job_queue=JobQueue(database),
            jobs=MatchJobs(database),
            matches=Matches(database),
            messages=Messages(database),
            notifications=Notifications(database),
            object_deletions=ObjectDeletions(database),
            people=People(database),
            presence=Presence(database),
            profiles=Profiles(database),
            ray_jobs=RayJobRows(database),
            reactions=Reactions(database),
            realtime_sessions=RealtimeSessions(database),
            rescorings=Rescorings(database),
            schools=Schools(database),
            sessions=Sessions(database),
            statistics=DatabaseStatistics(database),
            system_settings=SystemSettingsTable(database),
            text_search=TextSearch(database),
        )
