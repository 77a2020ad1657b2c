"""Settings of the running application, for admins."""

from __future__ import annotations

from matching.rescore import Rescoring
from matching.store import MatchRules
from serve_app.api.dependencies import Injected, InjectedLinks, Operator
from serve_app.api.responses import BODY, errors
from serve_app.api.topics import Topic
from serve_app.schemas.admin_settings import SettingsAnswer, SettingsChange
from serve_app.schemas.settings_preview import SettingsPreviewAnswer, SettingsProposal

router = Topic(prefix="/admin/settings", tags=["admin"])


@router.get("", responses=errors(401, 403))
async def get_admin_settings(_: Operator, services: Injected) -> SettingsAnswer:
    """All settings."""
    return SettingsAnswer.of(await services.db.system_settings.get())


@router.patch("", responses=errors(400, 401, 403, *BODY))
async def update_admin_settings(
    change: SettingsChange, operator: Operator, services: Injected
) -> SettingsAnswer:
    """Change some settings, all or none; the answer has all of them."""
    await services.db.system_settings.change(change.changes(), by=operator.profile_id)
    return SettingsAnswer.of(await services.db.system_settings.get())


@router.post("/preview", responses=errors(400, 401, 403, *BODY))
async def preview_admin_settings(
    proposal: SettingsProposal, _: Operator, services: Injected, links: InjectedLinks
) -> SettingsPreviewAnswer:
    """What other weights and another threshold would change in the stored matches. Changes nothing.

    All scores, before and after, are computed from the stored factors. The list of a face has its 20 best
    matches that reach the threshold, users and celebrities separately. A match of two users is on both their
    lists and counts once: it is listed while it is on either, and moves when its place on either changes.
    Answers 503 if the database takes longer than 25 s for users or for celebrities.
    """
    settings = await services.db.system_settings.get()
    before = MatchRules(settings.matching_weights, settings.match_threshold)
    after = proposal.rules(before)
    preview = await Rescoring(services.database).preview(before, after)
    return SettingsPreviewAnswer.of(before, after, preview, links)
