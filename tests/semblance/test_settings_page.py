"""The page of settings, written from them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from semblance.settings import Settings
from tests.support.waiting import PATIENCE_S
from tools import CHECKOUT
from tools.settings_docs import TARGET, render


def test_settings_page_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run python -m tools.settings_docs"


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_page_shows_the_defaults_in_any_environment(tmp_path: Path) -> None:
    """It is made from the class, so it contains no value of a machine and no secret."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.settings_docs", "--check"],
        cwd=CHECKOUT,
        env={**os.environ, "SEMBLANCE_HOME": str(tmp_path), "SEMBLANCE_API_KEY": "a secret of this machine"},
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0
