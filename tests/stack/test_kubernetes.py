"""The files for Kubernetes: valid, made of the same sources as other deployments, and with least rights."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from os.path import relpath
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from deployments.ray_metrics import bucket_name
from ops.stack.ray_head import COMPUTING, SERVE_FLAGS
from semblance.metrics import METRICS
from semblance.recorder import HistogramMetric
from semblance.settings import Settings
from tools import CHECKOUT
from tools.kubernetes import RAY_SERVICE, RULES, render_ray_service, render_rules

FOLDER = CHECKOUT / "deploy" / "k8s"
KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="needs kubectl")
OTHERS = ("Kustomization", "RayService", "PodMonitor", "PrometheusRule")
"""Kinds that Kubernetes itself does not have."""

Manifest = dict[str, Any]


def manifests() -> Iterator[Manifest]:
    for path in sorted(FOLDER.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            # Only the configuration of kustomize itself has no kind.
            if "kind" in document:
                yield document


MANIFESTS = list(manifests())
(RAY,) = [each for each in MANIFESTS if each["kind"] == "RayService" and "serveConfigV2" in each["spec"]]
CLUSTER: Manifest = RAY["spec"]["rayClusterConfig"]
GROUPS: list[Manifest] = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]


def pods() -> Iterator[Manifest]:
    yield from (group["template"] for group in GROUPS)
    yield from (each["spec"]["template"] for each in MANIFESTS if each["kind"] in ("Deployment", "Job"))


def test_what_is_written_from_other_files_is_current() -> None:
    for target, text in ((RAY_SERVICE, render_ray_service()), (RULES, render_rules())):
        assert target.read_text(encoding="utf-8") == text, "run python -m tools.kubernetes"


def test_every_manifest_is_valid() -> None:
    own = [each for each in MANIFESTS if each["kind"] not in OTHERS]
    assert {each["kind"] for each in own} >= {"Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget"}
    ray_pods = [
        {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": "ray"},
            "template": group["template"],
        }
        for group in GROUPS
    ]
    for manifest in own + ray_pods:
        kubernetes_validate.validate(manifest, "1.33", strict=True)


def test_a_proxy_on_every_node_answers_kuberays_checks() -> None:
    given = yaml.safe_load(RAY["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(given)
    assert given["proxy_location"] == "EveryNode"
    assert ip_address(given["http_options"]["host"]).is_unspecified
    written = yaml.safe_load((CHECKOUT / "serve_config.yaml").read_text(encoding="utf-8"))
    assert given["applications"] == written["applications"]
    for group in CLUSTER["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        assert container["readinessProbe"]["httpGet"] == {"port": "serve", "path": "/-/healthz"}
        assert {"name": "serve", "containerPort": given["http_options"]["port"]} in container["ports"]


def test_every_ray_node_has_the_same_switches_and_settings_that_exist() -> None:
    environments = [
        {entry["name"]: entry["value"] for entry in group["template"]["spec"]["containers"][0]["env"]}
        for group in GROUPS
    ]
    assert all(environment == environments[0] for environment in environments)
    assert SERVE_FLAGS.items() | COMPUTING.items() <= environments[0].items()
    text = "\n".join(path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.*"))
    known = {f"SEMBLANCE_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bSEMBLANCE_[A-Z_]+", text)) <= known


def test_no_pod_may_gain_rights() -> None:
    for pod in pods():
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_clients_reach_the_gateway_and_nothing_behind_it() -> None:
    (service,) = [each for each in MANIFESTS if each["kind"] == "Service" and "redis" not in str(each)]
    (gateway,) = [each for each in MANIFESTS if each["kind"] == "Deployment" and "gateway" in str(each)]
    assert service["spec"]["selector"] == gateway["spec"]["selector"]["matchLabels"]
    assert gateway["spec"]["template"]["spec"]["containers"][0]["args"][0] == "gateway"
    assert "type" not in service["spec"], "reached from outside of the cluster without the Ingress"
    for pod in pods():
        assert not pod["spec"].get("hostNetwork")
        assert not [
            port for each in pod["spec"]["containers"] for port in each.get("ports", ()) if "hostPort" in port
        ]
    open_to_all = [
        each["metadata"]["name"]
        for each in MANIFESTS
        if each["kind"] == "NetworkPolicy"
        and any("from" not in rule for rule in each["spec"].get("ingress", ()))
    ]
    assert open_to_all == ["semblance-gateway"]


def test_only_the_migration_gets_the_owners_login() -> None:
    assert not [each for each in MANIFESTS if each["kind"] == "Secret"]
    assert [each["kind"] for each in MANIFESTS if "semblance-owner" in str(each)] == ["Job"]


def test_policies_and_budgets_find_pods() -> None:
    labels = [pod["metadata"]["labels"] for pod in pods()]
    selectors = [
        each["spec"].get("podSelector") or each["spec"]["selector"]
        for each in MANIFESTS
        if each["kind"] in ("NetworkPolicy", "PodDisruptionBudget", "PodMonitor")
    ]
    assert len(selectors) == 6
    for selector in selectors:
        wanted = selector["matchLabels"].items()
        assert any(wanted <= each.items() for each in labels), selector


def relabeled(name: str) -> dict[str, str]:
    """The labels that the PodMonitor gives to a series of this name, as Prometheus does."""
    [monitor] = [each for each in MANIFESTS if each["kind"] == "PodMonitor"]
    labels = {"__name__": name}
    for step in monitor["spec"]["podMetricsEndpoints"][0]["metricRelabelings"]:
        if found := re.fullmatch(step["regex"], ";".join(labels[each] for each in step["sourceLabels"])):
            labels[step["targetLabel"]] = found.expand(step["replacement"].replace("$", "\\"))
    return labels


def test_metrics_of_rays_nodes_get_their_names() -> None:
    for metric in METRICS:
        if isinstance(metric, HistogramMetric):
            bucket = f"{metric.name}_bucket"
            for le in metric.bounds:
                exported = f"ray_{bucket_name(bucket, le)}"
                assert relabeled(exported) == {"__name__": bucket, "le": le}
            assert relabeled(f"ray_{metric.name}_sum") == {"__name__": f"{metric.name}_sum"}
        else:
            assert relabeled(f"ray_{metric.name}") == {"__name__": metric.name}
    assert relabeled("ray_tasks") == {"__name__": "ray_tasks"}


def composed(folder: Path) -> list[Manifest]:
    done = subprocess.run([str(KUBECTL), "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@needs_kubectl
def test_an_overlay_names_the_image_of_every_group(tmp_path: Path) -> None:
    """The one that docs/operations.md writes."""
    page = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
    written = page.partition("kustomization.yaml <<END\n")[2].partition("END\n")[0]
    images: dict[str, list[str]] = {}
    for part in ("base", "migrate"):
        folder = tmp_path / part
        folder.mkdir()
        text = written.replace("../../deploy", relpath(CHECKOUT / "deploy", folder)).replace("$part", part)
        (folder / "kustomization.yaml").write_text(text, encoding="utf-8")
        for document in composed(folder):
            found = re.findall(r"'image': '([^']*)'", str(document))
            images |= {document["kind"]: found} if found else {}
    cpu, gpu = (f"registry.example/semblance:1-{target}" for target in ("cpu", "gpu"))
    assert images == {"Deployment": [cpu], "RayService": [cpu, cpu, gpu], "Job": [cpu]}


@needs_kubectl
def test_kustomize_composes_everything() -> None:
    everything = {
        name: composed(FOLDER / name) for name in ("base", "fault-tolerant", "migrate", "monitoring")
    }
    assert all(
        each["metadata"].get("namespace") == "semblance"
        for documents in everything.values()
        for each in documents
        if each["kind"] != "Namespace"
    )
    (ray,) = [each for each in everything["fault-tolerant"] if each["kind"] == "RayService"]
    (settings,) = [each for each in everything["fault-tolerant"] if each["kind"] == "ConfigMap"]
    cluster = ray["spec"]["rayClusterConfig"]
    assert cluster["gcsFaultToleranceOptions"]["redisPassword"]["valueFrom"]["secretKeyRef"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        assert {"configMapRef": {"name": settings["metadata"]["name"]}} in container["envFrom"]
