"""The files that operators deploy are valid, also where Ray's own schema does not check them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeDeploySchema

from deployments.replica_messages import VARIABLE
from ops.stack.ray_head import COMPUTING, SERVE_FLAGS
from serve_app.app import bind_app
from tools import CHECKOUT


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CHECKOUT / name).read_text())
    return document


@pytest.fixture
def config() -> ServeDeploySchema:
    return ServeDeploySchema.model_validate(load("serve_config.yaml"))


def test_serve_config_configures_exactly_the_deployments_that_are_bound(config: ServeDeploySchema) -> None:
    bound = bind_app()
    names = {bound._bound_deployment.name}
    names |= {child._bound_deployment.name for child in bound._bound_deployment.init_args}
    (application,) = config.applications
    assert {deployment.name for deployment in application.deployments} == names
    assert application.import_path == "serve_app.app:build_app"


def test_every_deployment_scales_and_bounds_its_queue(config: ServeDeploySchema) -> None:
    for deployment in config.applications[0].deployments:
        scaling = deployment.autoscaling_config
        assert isinstance(scaling, dict)
        assert 1 <= scaling["min_replicas"] < scaling["max_replicas"]
        assert scaling["target_ongoing_requests"] <= deployment.max_ongoing_requests
        assert deployment.max_queued_requests > 0


def test_ray_cluster_has_a_head_cpu_workers_and_gpu_workers(caplog: pytest.LogCaptureFixture) -> None:
    cluster = prepare_config(load("ray_cluster.yaml"))
    validate_config(cluster)
    kinds = cluster["available_node_types"]
    assert cluster["head_node_type"] in kinds
    workers = {name: kind for name, kind in kinds.items() if name != cluster["head_node_type"]}
    assert any("GPU" in kind["resources"] for kind in workers.values())
    assert any("GPU" not in kind["resources"] for kind in workers.values())
    assert all(kind["min_workers"] <= kind["max_workers"] for kind in workers.values())


def test_ray_cluster_uses_files_and_commands_that_exist() -> None:
    cluster = load("ray_cluster.yaml")
    makefile = (CHECKOUT / "Makefile").read_text()
    assert any("make env" in command for command in cluster["setup_commands"])
    assert "\nenv:" in makefile
    assert Path(CHECKOUT / "serve_config.yaml").is_file()


@pytest.mark.parametrize("commands", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_the_switches_of_serve_are_the_same_however_it_is_started(commands: str) -> None:
    start = next(command for command in load("ray_cluster.yaml")[commands] if "ray start" in command)
    switches = dict(re.findall(rf"\b(RAY_SERVE_\w+|{'|'.join(COMPUTING)})=(\S+)", start))
    # It depends on the settings.
    del switches[VARIABLE]
    assert switches == SERVE_FLAGS | COMPUTING


def test_the_gateway_of_a_cluster_is_always_restarted() -> None:
    (start,) = (
        command for command in load("ray_cluster.yaml")["head_start_ray_commands"] if "systemd-run" in command
    )
    before, _, run = start.partition("sudo systemd-run ")
    assert "systemctl reset-failed semblance-gateway 2>/dev/null;" in before
    options = run.partition("$HOME/semblance/.venv/bin/semblance gateway")[0].split()
    assert {
        "--unit=semblance-gateway",
        "--collect",
        "--property=Restart=always",
        "--property=RestartSec=5",
        "--property=StartLimitIntervalSec=0",
    } <= set(options)
