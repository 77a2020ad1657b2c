"""The image and the file for Compose: what they promise, and settings that exist."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import yaml

from semblance.settings import Settings
from tools import CHECKOUT

DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_both_images_run_alike() -> None:
    targets = dict(re.findall(r"^FROM \S+ AS (\w+)$(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
    settings = {
        name: text[text.index("ENV ") :].split("\n\n")[0].strip()
        for name, text in targets.items()
        if name != "build"
    }
    assert settings.keys() == {"cpu", "gpu"}
    assert settings["cpu"] == settings["gpu"]
    assert "USER 10001:10001" in settings["cpu"]
    assert "HEALTHCHECK" in settings["cpu"]


def test_every_image_is_pinned_by_version() -> None:
    images = re.findall(r"_IMAGE=(\S+)", DOCKERFILE)
    images += [each["image"] for each in SERVICES.values() if "SEMBLANCE_IMAGE" not in each["image"]]
    assert len(images) == 7
    assert all(re.search(r":\S*\d+\.\d+|:RELEASE\.\d{4}", image) for image in images)


def test_no_container_may_gain_rights() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("read_only") or name == "db", name
    assert [name for name, service in SERVICES.items() if "cap_add" in service] == ["db"]
    # Only the service and Grafana can be reached from outside.
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["app", "grafana"]
    assert SERVICES["app"]["ports"] == ["${SEMBLANCE_LISTEN:-127.0.0.1:8000}:8000"]


def test_clients_reach_the_gateway_and_nothing_behind_it() -> None:
    """`semblance up` listens there with the gateway; Ray, Serve and the replicas stay on the loopback."""
    assert "SEMBLANCE_HOST=0.0.0.0 SEMBLANCE_PORT=8000" in DOCKERFILE
    assert DOCKERFILE.count('CMD ["up"]') == DOCKERFILE.count("EXPOSE 8000") == 2
    assert "command" not in SERVICES["app"]
    assert [port.rpartition(":")[2] for port in SERVICES["app"]["ports"]] == ["8000"]
    for name in ("db", "s3"):
        assert not SERVICES[name].keys() & {"ports", "network_mode"}, name


def test_the_service_does_not_get_the_owners_password() -> None:
    owner = [name for name, service in SERVICES.items() if "OWNER_PASSWORD" in str(service)]
    assert owner == ["db", "migrate", "backup"]


def test_settings_of_the_containers_exist() -> None:
    known = {f"SEMBLANCE_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"SEMBLANCE_[A-Z_]+(?==)", DOCKERFILE))
    for service in SERVICES.values():
        named |= {name for name in service.get("environment", {}) if name.startswith("SEMBLANCE_")}
    assert named <= known


def test_the_printed_secrets_are_all_that_compose_asks_for() -> None:
    def printed() -> dict[str, str]:
        said = subprocess.run(
            ["/bin/sh", CHECKOUT / "deploy" / "compose" / "secrets.sh"],
            capture_output=True,
            text=True,
            check=True,
        )
        return dict(line.split("=", 1) for line in said.stdout.splitlines() if not line.startswith("#"))

    required = set(re.findall(r"\$\{(\w+):\?", (CHECKOUT / "compose.yaml").read_text()))
    first, second = printed(), printed()
    assert required <= first.keys()
    secrets = [name for name in first if name.endswith(("PASSWORD", "SECRET_ACCESS_KEY"))]
    assert len(secrets) == 4
    # In a DSN nothing of them needs an escape.
    assert all(re.fullmatch(r"[0-9a-f]{48}", first[name]) and first[name] != second[name] for name in secrets)
