"""What Kubernetes gets that is already written elsewhere: the RayService out of `serve_config.yaml`, and the
alerts out of `deploy/monitoring/rules.yaml`.

python -m tools.kubernetes            write base/rayservice.yaml and monitoring/rules.yaml of deploy/k8s
python -m tools.kubernetes --check    exit 1 where one of them differs from its sources
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

import typer
import yaml

from ops.stack.ray_head import COMPUTING, SERVE_FLAGS
from tools import CHECKOUT
from tools.pages import Check, write_page

RAY_SERVICE = CHECKOUT / "deploy" / "k8s" / "base" / "rayservice.yaml"
RULES = CHECKOUT / "deploy" / "k8s" / "monitoring" / "rules.yaml"

_SERVE_CONFIG: Final = CHECKOUT / "serve_config.yaml"
_ALERTS: Final = CHECKOUT / "deploy" / "monitoring" / "rules.yaml"

_UID: Final = 10001
"""Of the image (`Dockerfile`)."""

_HOME: Final = "/var/lib/semblance"

_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""Suits the default settings; a replica that needs more says so."""

_PORTS: Final = {"gcs": 6379, "dashboard": 8265, "client": 10001, "metrics": 8080, "serve": 8000}
"""KubeRay finds Serve's port and the others by these names."""

_AGENT_PORT: Final = 52365
"""Of the dashboard's agent, Ray's default."""

_RAY_HEAD: Final = """\
# Written by `python -m tools.kubernetes` from serve_config.yaml. Change the tool, or patch this in an
# overlay.
#
# KubeRay asks Serve's proxy on every worker whether the worker may get requests. So there is a proxy on every
# node, and it listens on the network; serve_config.yaml has one, on the head's loopback interface.
# No replica runs on the head, so that losing it ends no request.
"""

_RULES_HEAD: Final = """\
# Written by `python -m tools.kubernetes` from deploy/monitoring/rules.yaml; change that file.
"""


def render_ray_service() -> str:
    """The manifest of the RayService."""
    manifest = {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "semblance"},
        "spec": {
            "upgradeStrategy": {"type": "NewCluster"},
            "excludeHeadPodFromServeSvc": True,
            "serveConfigV2": _dump(serve_config()),
            "rayClusterConfig": {
                "rayVersion": version("ray"),
                "enableInTreeAutoscaling": True,
                "autoscalerOptions": {
                    "version": "v2",
                    "idleTimeoutSeconds": 300,
                    "resources": _resources("500m", "512Mi"),
                    "securityContext": _CONFINED,
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in the container
                },
                "headGroupSpec": {
                    "rayStartParams": {"num-cpus": "0", "disable-usage-stats": "true"},
                    "template": _template("head", "semblance-cpu", _resources("2", "8Gi")),
                },
                "workerGroupSpecs": [
                    _group("cpu", "semblance-cpu", _resources("4", "12Gi"), least=2, most=8),
                    # Started only by replicas or jobs that ask for num_gpus.
                    _group("gpu", "semblance-gpu", _resources("4", "16Gi", gpus=1), least=0, most=2),
                ],
            },
        },
    }
    return _RAY_HEAD + _dump(manifest)


def serve_config() -> dict[str, Any]:
    """`serve_config.yaml` with a proxy on every node, which listens on the network."""
    config: dict[str, Any] = yaml.safe_load(_SERVE_CONFIG.read_text(encoding="utf-8"))
    config["proxy_location"] = "EveryNode"
    config["http_options"]["host"] = "0.0.0.0"  # noqa: S104 - a NetworkPolicy says who may
    return config


def render_rules() -> str:
    """The alerts for the Prometheus operator."""
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "semblance"},
        "spec": yaml.safe_load(_ALERTS.read_text(encoding="utf-8")),
    }
    return _RULES_HEAD + _dump(manifest)


_CONFINED: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def _group(name: str, image: str, resources: dict[str, Any], *, least: int, most: int) -> dict[str, Any]:
    return {
        "groupName": name,
        "replicas": least,
        "minReplicas": least,
        "maxReplicas": most,
        "rayStartParams": {},
        "template": _template(name, image, resources),
    }


def _template(group: str, image: str, resources: dict[str, Any]) -> dict[str, Any]:
    """The pods of a group. The probes are KubeRay's own, which run `wget`; the image has none."""
    is_head = group == "head"
    ready = _probe("dashboard", "/api/gcs_healthz") if is_head else _probe("serve", "/-/healthz")
    ports = _PORTS if is_head else {name: _PORTS[name] for name in ("metrics", "serve")}
    spec: dict[str, Any] = {
        # The autoscaler starts another pod in the place of one that ended.
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 60,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _UID,
            "runAsGroup": _UID,
            "fsGroup": _UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": f"ray-{'head' if is_head else 'worker'}",
                "image": image,
                "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
                "env": [{"name": name, "value": value} for name, value in _environment().items()],
                "envFrom": [
                    {"configMapRef": {"name": "semblance-settings"}},
                    {"secretRef": {"name": "semblance-secrets"}},
                ],
                "resources": resources,
                "securityContext": _CONFINED,
                "livenessProbe": {
                    **_probe(_AGENT_PORT, "/api/local_raylet_healthz"),
                    "initialDelaySeconds": 30,
                    "failureThreshold": 60,
                },
                "readinessProbe": {**ready, "failureThreshold": 10 if is_head else 1},
                "volumeMounts": [
                    {"name": "home", "mountPath": _HOME},
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
                ],
            }
        ],
        "volumes": [
            {"name": "home", "emptyDir": {"sizeLimit": "8Gi"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "16Gi"}},
        ],
    }
    if not is_head:
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _labels(group)},
            }
        ]
    if "nvidia.com/gpu" in resources["limits"]:
        spec["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return {"metadata": {"labels": _labels(group)}, "spec": spec}


def _labels(group: str) -> dict[str, str]:
    return {"app.kubernetes.io/component": "ray", "semblance/group": group}


def _probe(port: str | int, path: str) -> dict[str, Any]:
    return {"httpGet": {"port": port, "path": path}, "periodSeconds": 5, "timeoutSeconds": 5}


def _environment() -> dict[str, str]:
    """As `semblance up` gives it to `ray start` on one machine, where a cluster does not differ."""
    return {
        # Who may connect is decided by a NetworkPolicy.
        "RAY_AUTH_MODE": "disabled",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        **SERVE_FLAGS,
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(_MESSAGE_BYTES),
        # Replicas take the client's address from the gateway, which alone reaches their ports.
        "FORWARDED_ALLOW_IPS": "*",
        "SEMBLANCE_LOG_FORMAT": "json",
        **COMPUTING,
    }


def _resources(cpu: str, memory: str, gpus: int = 0) -> dict[str, Any]:
    """Ray takes a node's size from its limits, so a pod gets all that it may use."""
    amounts: dict[str, Any] = {"cpu": cpu, "memory": memory}
    if gpus:
        amounts["nvidia.com/gpu"] = str(gpus)
    return {"requests": dict(amounts), "limits": dict(amounts)}


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are, and everything in full where it occurs."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _dump(content: object) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def main(check: Check = False) -> None:
    """Write both files, or say whether they are current."""
    write_page(RAY_SERVICE, render_ray_service(), check=check)
    write_page(RULES, render_rules(), check=check)


if __name__ == "__main__":
    typer.run(main)
