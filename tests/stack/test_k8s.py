"""The manifests for Kubernetes: as kustomize builds them, valid, and equal to what runs elsewhere."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from ops.stack.ray_head import SERVE_FLAGS
from semblance.settings import Settings
from tools import CHECKOUT
from tools.k8s import MANIFEST, serve_config, written

FOLDER = CHECKOUT / "deploy" / "k8s"
KUBECTL = shutil.which("kubectl")
KUBERNETES = "1.33"
OTHERS = {"RayService", "PodMonitor", "Kustomization"}
"""Kinds that Kubernetes itself does not know."""


def documents(overlay: str) -> list[dict[str, Any]]:
    """What kustomize builds, or the plain files of the base where there is no kubectl."""
    if KUBECTL:
        built = subprocess.run(
            [KUBECTL, "kustomize", FOLDER / overlay], capture_output=True, text=True, check=True
        ).stdout
        return list(yaml.safe_load_all(built))
    files = (FOLDER / "base").glob("*.yaml")
    found = (each for file in files for each in yaml.safe_load_all(file.read_text()))
    return [each for each in found if each["kind"] != "Kustomization"]


def ray_service(overlay: str) -> dict[str, Any]:
    [service] = [each for each in documents(overlay) if each["kind"] == "RayService"]
    spec: dict[str, Any] = service["spec"]
    return spec


def templates(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    cluster = spec["rayClusterConfig"]
    groups = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"]["template"], **groups}


@pytest.mark.parametrize("overlay", ["base", "gpu", "fault-tolerant"])
def test_everything_is_valid(overlay: str) -> None:
    found = documents(overlay)
    kinds = {each["kind"] for each in found}
    assert {"Job", "Service", "NetworkPolicy", "PodDisruptionBudget", "ConfigMap"} <= kinds
    for each in found:
        if each["kind"] not in OTHERS:
            kubernetes_validate.validate(each, KUBERNETES, strict=True)
    for name, template in templates(ray_service(overlay)).items():
        pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": name}}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_the_application_is_that_of_serve_config() -> None:
    assert written(MANIFEST.read_text()) == MANIFEST.read_text(), "run python -m tools.k8s"
    config = ServeDeploySchema.model_validate(yaml.safe_load(ray_service("base")["serveConfigV2"]))
    # KubeRay probes the proxy of every worker.
    assert config.proxy_location == "EveryNode"
    assert config.http_options.host == "0.0.0.0"  # noqa: S104 - of a pod
    assert serve_config()["applications"] == [
        each.model_dump(exclude_unset=True) for each in config.applications
    ]


def test_every_pod_runs_with_least_rights_and_the_switches_of_serve() -> None:
    spec = ray_service("base")
    assert spec["rayClusterConfig"]["rayVersion"] == version("ray")
    assert spec["rayClusterConfig"]["autoscalerOptions"]["version"] == "v2"
    [job] = [each for each in documents("base") if each["kind"] == "Job"]
    for name, template in {**templates(spec), "migrate": job["spec"]["template"]}.items():
        assert template["spec"]["securityContext"]["runAsNonRoot"], name
        for container in template["spec"]["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"], name
            assert rights["capabilities"] == {"drop": ["ALL"]}, name
            assert not rights["allowPrivilegeEscalation"], name
            assert "limits" in container["resources"], name
            owner = "semblance-owner" in str(container["envFrom"])
            assert owner is (name == "migrate")
    for name, template in templates(spec).items():
        environment = {each["name"]: each["value"] for each in template["spec"]["containers"][0]["env"]}
        assert SERVE_FLAGS.items() <= environment.items(), name


def test_settings_exist_and_hold_no_secret() -> None:
    [settings] = [each for each in documents("base") if each["kind"] == "ConfigMap"]
    for name in settings["data"]:
        field = Settings.model_fields[name.removeprefix("SEMBLANCE_").lower()]
        assert "Secret" not in str(field.annotation)


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_workers_with_a_gpu_are_workers_with_a_gpu() -> None:
    pods = templates(ray_service("gpu"))
    [cpu], [gpu] = (pods[name]["spec"]["containers"] for name in ("cpu", "gpu"))
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == "1"
    same = {key: value for key, value in cpu.items() if key not in {"image", "resources"}}
    assert {key: value for key, value in gpu.items() if key not in {"image", "resources"}} == same
