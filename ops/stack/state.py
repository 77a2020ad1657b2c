"""The published state of a running stack: `state.json` exists from when it is first ready until it is
stopped."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ops.stack.home import StackHome, StackLock
from semblance.files import read_file, write_file


class Problem(BaseModel):
    """A problem of a part of the stack, which the supervisor is repairing."""

    model_config = ConfigDict(frozen=True)

    part: str
    text: str
    since: datetime

    def __str__(self) -> str:
        return f"{self.part}, since {self.since.astimezone():%H:%M:%S}: {self.text}"


class StackState(BaseModel):
    """Addresses and secrets of a running stack. The file is readable by its owner only."""

    model_config = ConfigDict(frozen=True)

    home: Path
    url: str
    docs_url: str
    dashboard_url: str
    database_url: str
    api_key: str
    api_key_file: Path | None = None
    """The file that held the key when the stack was started; None if a setting gives it."""
    ray_address: str
    ray_token_file: Path
    pid: int
    """Process id of the supervisor."""
    ports: dict[str, int]
    """Ports of the stack's servers, which a supervisor that takes over keeps."""
    old_names: dict[str, str] = {}
    """Variables of the old app that settings were read from, by setting (`semblance.old_names`)."""
    detached: bool = False
    """Whether it outlives the command that started it."""
    problems: tuple[Problem, ...] = ()


def write_state(home: StackHome, state: StackState) -> None:
    """Write the state atomically, mode 0600."""
    write_file(home.state_file, _text(state))


def is_written(home: StackHome, state: StackState) -> bool:
    """Whether the file holds this state."""
    try:
        return read_file(home.state_file) == _text(state).encode()
    except OSError:
        return False


def read_state(home: StackHome) -> StackState | None:
    """The state of a stack whose supervisor runs, else None."""
    state = left_state(home)
    return state if state is not None and StackLock(home).holder() == state.pid else None


def left_state(home: StackHome) -> StackState | None:
    """The state last written, even if its supervisor has died since."""
    try:
        return StackState.model_validate_json(read_file(home.state_file))
    except (OSError, ValidationError):
        return None


def what_is_wrong(home: StackHome) -> tuple[Problem, ...]:
    """The problems of a stack that should be running."""
    left = left_state(home)
    if left is None:
        return ()
    lock = StackLock(home)
    if lock.holder() == left.pid:
        return left.problems
    if lock.is_held():
        # It touches the lock, so only the file tells since when.
        since = datetime.fromtimestamp(home.state_file.stat().st_mtime, UTC)
        text = f"It was restarted, and has not written {home.state_file} yet: is the disk full?"
        return (Problem(part="Supervisor", text=text, since=since),)
    # It touches the lock every second.
    beaten = home.lock_file if home.lock_file.exists() else home.state_file
    since = datetime.fromtimestamp(beaten.stat().st_mtime, UTC)
    if home.is_kept():
        text = "It has died, and is being restarted."
    else:
        text = "It has died. `semblance up` starts it again and repairs what it finds."
    return (Problem(part="Supervisor", text=text, since=since),)


def remove_state(home: StackHome) -> None:
    home.state_file.unlink(missing_ok=True)


def _text(state: StackState) -> str:
    return state.model_dump_json(indent=2)
