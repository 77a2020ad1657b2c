"""People of the app, as operators see them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field

from db.accounts import Account
from db.faces import StoredFace
from db.profiles import Role, StatedGender
from serve_app.links import Links
from serve_app.schemas.base import Schema, ThumbnailUrl
from serve_app.schemas.patterns import STORABLE


class UserSummary(Schema):
    id: UUID
    name: str | None = Field(examples=["Ada"])
    email: str | None = Field(examples=["ada@cs.stanford.edu"])
    gender: StatedGender | None
    school: str | None = Field(examples=["stanford.edu"])
    role: Role
    label: str = Field(description="The name, otherwise the e-mail address, otherwise the id.")
    thumbnail_url: ThumbnailUrl | None = Field(description="Picture of the default face.")
    photos: int = Field(ge=0)
    matches: int = Field(ge=0, description="Matches with other users, also while the user is blocked.")
    uploads_today: int = Field(ge=0, description="Photos that count towards the daily limit.")
    generations_today: int = Field(ge=0, description="Baby pictures that count towards the daily limit.")
    last_seen: datetime | None = Field(description="Null also for users who hide their presence.")
    blocked_at: datetime | None = Field(description="Null: not blocked.")
    created_at: datetime

    @staticmethod
    def columns(account: Account, links: Links) -> dict[str, Any]:
        path = account.image_path
        return {
            "id": account.id,
            "name": account.name,
            "email": account.email,
            "gender": account.gender,
            "school": account.school,
            "role": account.role,
            "label": account.label,
            "thumbnail_url": None if path is None else links.renditions(path, "faces").thumbnail,
            "photos": account.photos,
            "matches": account.matches,
            "uploads_today": account.uploads_today,
            "generations_today": account.generations_today,
            "last_seen": account.last_seen,
            "blocked_at": account.blocked_at,
            "created_at": account.created_at,
        }


class UsersAnswer(Schema):
    users: list[UserSummary] = Field(description="The latest to sign up first.")
    next_cursor: str | None
    daily_photo_upload_limit: int = Field(description="-1: no limit.")
    daily_baby_generation_limit: int = Field(description="-1: no limit.")


class UserPhoto(Schema):
    id: UUID
    thumbnail_url: ThumbnailUrl
    created_at: datetime


class UserDetails(UserSummary):
    latest_photos: list[UserPhoto] = Field(description="The latest 24.")

    @classmethod
    def of(cls, account: Account, faces: list[StoredFace], links: Links) -> Self:
        return cls(
            **UserSummary.columns(account, links),
            latest_photos=[
                UserPhoto(
                    id=face.id,
                    thumbnail_url=links.renditions(face.image_path, "faces").thumbnail,
                    created_at=face.created_at,
                )
                for face in faces
            ],
        )


class RoleChange(Schema):
    role: Role


class RepeatedName(Schema):
    name: Annotated[str, Field(max_length=400, pattern=STORABLE)] = Field(
        description="The user's `label`, repeated, because this cannot be undone.", examples=["Ada"]
    )
