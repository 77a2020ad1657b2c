"""What a running stack tells the world: `state.json`, written when it is ready, removed when it ends."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from semblance.stack.home import StackHome


class StackState(BaseModel):
    """Addresses and secrets of a running stack. The file is readable by its owner only."""

    model_config = ConfigDict(frozen=True)

    home: Path
    url: str
    docs_url: str
    dashboard_url: str
    database_url: str
    api_key: str
    ray_address: str
    ray_token_file: Path
    pid: int
    """The supervisor."""
    started: float
    """The supervisor's start in seconds since the epoch, which tells it from a later process of its pid."""

    def is_alive(self) -> bool:
        """Whether the supervisor that wrote this still runs."""
        try:
            process = psutil.Process(self.pid)
            return process.status() != psutil.STATUS_ZOMBIE and process.create_time() == self.started
        except psutil.Error:
            return False


def write_state(home: StackHome, state: StackState) -> None:
    """Put the state in place as a whole, mode 0600."""
    temporary = home.state_file.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(state.model_dump_json(indent=2))
    temporary.replace(home.state_file)


def read_state(home: StackHome) -> StackState | None:
    """The state of a stack whose supervisor lives, else None."""
    try:
        state = StackState.model_validate_json(home.state_file.read_bytes())
    except (OSError, ValidationError):
        return None
    return state if state.is_alive() else None


def remove_state(home: StackHome) -> None:
    home.state_file.unlink(missing_ok=True)
