"""Suggested texts: a message with a reply that is suggested to its receiver, and drafts."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, status

from db.inference_jobs import Budget, NewText
from deployments.writing.prompts import MAX_PROMPT_TOKENS, MAX_TOKENS
from semblance.errors import NotFoundError
from semblance.settings import Settings
from serve_app.api.dependencies import CurrentUser, Injected, InjectedLinks
from serve_app.api.responses import BODY, QUOTA_ERROR, errors
from serve_app.api.routes.messages import notice
from serve_app.api.topics import Topic
from serve_app.schemas.inference import (
    DraftAnswer,
    DraftsAnswer,
    InferenceAnswer,
    NewInference,
    QueuedAnswer,
    SentDraft,
)
from serve_app.schemas.messages import MessageAnswer
from serve_app.schemas.patterns import explained

router = Topic(prefix="/inference", tags=["texts"])


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    responses={**errors(401, 403, 404, *BODY), **QUOTA_ERROR},
)
async def enqueue_inference(
    new: NewInference,
    user: CurrentUser,
    services: Injected,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            pattern=explained(r"^[\x21-\x7e]+$", "should be printable ASCII without blanks"),
            description="Chosen by the client, new for each message. The same key sends nothing again and "
            "gives the same answer; 422 for another message.",
        ),
    ] = None,
) -> QueuedAnswer:
    """Send a message in one of the user's active connections, and have a reply suggested to its receiver,
    who gets it as a private draft.

    403 unless an administrator has switched suggestions on (`text_generation`) and so have both users; 429
    over the sender's daily limit. Then nothing is sent. The channel `messages` tells how far the job is
    (`inference`), and the receiver how the draft grows (`draft`)."""
    title, preview = notice(user, new.content)
    text = NewText(new.connection_id, user.id, new.content, title, preview, idempotency_key)
    return QueuedAnswer.of(await services.db.inference_jobs.send(text, budget_of(services.settings)))


@router.get("/drafts", responses=errors(401, 403))
async def list_drafts(
    user: CurrentUser,
    services: Injected,
    connection_id: Annotated[UUID | None, Query(description="Only of this connection.")] = None,
) -> DraftsAnswer:
    """Replies that are suggested to the user, in active connections."""
    drafts = await services.db.inference_jobs.drafts(user.id, connection_id)
    return DraftsAnswer(drafts=[DraftAnswer.of(draft) for draft in drafts])


@router.post("/drafts/{draft_id}/send", status_code=201, responses=errors(400, 401, 403, 404, *BODY))
async def send_draft(
    draft_id: UUID, sent: SentDraft, user: CurrentUser, services: Injected, links: InjectedLinks
) -> MessageAnswer:
    """Send a draft, changed or not, as the user's reply (`in_reply_to`). Then the draft is gone."""
    title, preview = notice(user, sent.content)
    message = await services.db.inference_jobs.send_draft(
        draft_id, profile_id=user.id, content=sent.content, title=title, preview=preview
    )
    return MessageAnswer.of(message, user.id, links)


@router.delete("/drafts/{draft_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(401, 403, 404))
async def dismiss_draft(draft_id: UUID, user: CurrentUser, services: Injected) -> None:
    """Delete a draft."""
    await services.db.inference_jobs.dismiss(draft_id, profile_id=user.id)


@router.get("/{job_id}", responses=errors(401, 403, 404))
async def read_inference(job_id: UUID, user: CurrentUser, services: Injected) -> InferenceAnswer:
    """How far a text is that is made of one of the user's messages. The text itself is for the receiver
    only."""
    job = await services.db.inference_jobs.get(job_id, profile_id=user.id)
    if job is None:
        raise NotFoundError("You have no job of a text with this id.")
    return InferenceAnswer.of(job)


def budget_of(settings: Settings) -> Budget:
    """What texts of one user may use a day. Templates use no tokens."""
    per_text = 0 if settings.text_url is None else MAX_PROMPT_TOKENS + MAX_TOKENS
    return Budget(settings.text_daily_tokens, per_text)
