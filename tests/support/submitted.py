"""What Ray tells the command of a job that was submitted to it."""

from __future__ import annotations

import json
from typing import Final

from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.dashboard.modules.job.common import JOB_ID_METADATA_KEY

JOB_CONFIG: Final = str(RAY_JOB_CONFIG_JSON_ENV_VAR)


def submitted(submission_id: str) -> str:
    """The value of the variable JOB_CONFIG, as `JobSupervisor._get_driver_env_vars` makes it."""
    return json.dumps({"runtime_env": {}, "metadata": {JOB_ID_METADATA_KEY: submission_id}})
