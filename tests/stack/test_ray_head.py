from __future__ import annotations

from pathlib import Path

from ops.stack.home import StackHome
from ops.stack.processes import STACK_MARK
from ops.stack.ray_head import COMPUTING, client_environment, head_environment


def test_a_client_ignores_other_clusters_and_proxies(tmp_path: Path) -> None:
    base = {
        "RAY_ADDRESS": "http://elsewhere:1",
        "RAY_AUTH_TOKEN": "theirs",
        "NO_PROXY": "example.org",
        "PATH": "/bin",
    }
    environment = client_environment(base, tmp_path / "token")
    assert not {"RAY_ADDRESS", "RAY_AUTH_TOKEN"} & environment.keys()
    assert environment["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    assert environment["no_proxy"] == "127.0.0.1,localhost"
    assert environment["PATH"] == "/bin"
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")


def test_the_head_passes_settings_and_mark_to_its_processes(tmp_path: Path) -> None:
    home = StackHome(tmp_path)
    environment = head_environment({"SEMBLANCE_PACK": "open"}, home, {"SEMBLANCE_HOME": str(tmp_path)})
    assert environment[STACK_MARK] == f"{home.stack_id}/ray"
    assert environment["SEMBLANCE_PACK"] == "open"
    assert environment["SEMBLANCE_HOME"] == str(tmp_path)
    assert COMPUTING.items() <= environment.items()


def test_the_owners_login_stays_with_the_supervisor(tmp_path: Path) -> None:
    """In any case of the variable name, as the settings read it."""
    secret = "postgresql://owner:hunter2@host/db"
    base = {"SEMBLANCE_OWNER_DATABASE_URL": secret, "semblance_owner_database_url": secret}
    assert secret not in head_environment(base, StackHome(tmp_path), {}).values()
