"""API keys, for operators."""

from __future__ import annotations

from uuid import UUID

from fastapi import status

from serve_app.api.dependencies import Injected, Operator
from serve_app.api.responses import BODY, errors
from serve_app.api.topics import Topic
from serve_app.schemas.admin_api_keys import ApiKeysAnswer, ApiKeySummary, NewApiKey, NewApiKeyAnswer

router = Topic(prefix="/admin/api-keys", tags=["admin"])


@router.get("", responses=errors(401, 403))
async def list_api_keys(_: Operator, services: Injected) -> ApiKeysAnswer:
    """The API keys of `semblance keys` and of the console, without their secrets."""
    return ApiKeysAnswer(keys=[ApiKeySummary.of(key) for key in await services.db.api_keys.all()])


@router.post("", status_code=status.HTTP_201_CREATED, responses=errors(401, 403, *BODY))
async def create_api_key(_: Operator, body: NewApiKey, services: Injected) -> NewApiKeyAnswer:
    """Make an API key. Only this answer contains it."""
    key, stored = await services.db.api_keys.create(body.name, sorted(body.scopes))
    return NewApiKeyAnswer(key=key, stored=ApiKeySummary.of(stored))


@router.delete("/{key_id}", responses=errors(401, 403, 404))
async def revoke_api_key(key_id: UUID, _: Operator, services: Injected) -> ApiKeySummary:
    """Revoke an API key for good; the next request with it is refused. It stays in the list."""
    return ApiKeySummary.of(await services.db.api_keys.revoke(key_id))
