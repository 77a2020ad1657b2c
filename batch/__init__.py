"""Ray jobs that run over everything."""

import os

# Read when Ray is imported. Under `uv run` Ray would start its workers through uv as well, each with an
# environment of its own, which hangs without a network.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
