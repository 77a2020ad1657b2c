"""Ray jobs over everything: a package for each job, and what they share.

No HTTP, and nothing of the stack: a job also runs on a cluster that `semblance up` did not start.
"""

import os

# Read when Ray is imported. Under `uv run` Ray would start its workers through uv as well, each with an
# environment of its own, which hangs without a network.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

# Ray Data always gives its actors arguments from the object store, and Ray's core prints an error line about
# it for every pool. What fails in earnest still raises; it does not need that log.
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
