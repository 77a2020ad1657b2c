from __future__ import annotations

from pathlib import Path

import pytest

from semblance.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with empty pack folders and a separate HOME."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    return Settings(home=tmp_path / "state", pack_dir=tmp_path / "packs", execution_provider="cpu")
