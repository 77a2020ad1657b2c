"""The Chromium that looks at the console: for tests and for the pictures of the README."""

from __future__ import annotations

import os
import shutil

CHROMIUM = os.environ.get("SEMBLANCE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
"""Its program; None if it is not installed."""

NO_CHROMIUM = "no Chromium: install one (Debian: apt install chromium) or name it in SEMBLANCE_CHROMIUM"

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""So that it runs without a display, for every user of the machine, and talks to nobody."""
