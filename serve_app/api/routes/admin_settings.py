"""Settings of the running application, for admins."""

from __future__ import annotations

from fastapi import APIRouter

from serve_app.api.identity import AdminUser
from serve_app.api.responses import errors
from serve_app.api.schemas.admin_settings import SettingsAnswer, SettingsChange
from serve_app.api.services import Injected

router = APIRouter(prefix="/admin/settings", tags=["admin"])


@router.get("", responses=errors(401, 403))
async def get_admin_settings(_: AdminUser, services: Injected) -> SettingsAnswer:
    """All settings."""
    return SettingsAnswer.of(await services.db.system_settings.get())


@router.patch("", responses=errors(400, 401, 403, 413))
async def update_admin_settings(
    change: SettingsChange, admin: AdminUser, services: Injected
) -> SettingsAnswer:
    """Change some settings, all or none; the answer has all of them."""
    await services.db.system_settings.change(change.changes(), by=admin.id)
    return SettingsAnswer.of(await services.db.system_settings.get())
