"""The part of the Kubernetes manifest that says how the application runs on Ray Serve.

python -m tools.k8s     write it into deploy/k8s/base/rayservice.yaml, from serve_config.yaml

KubeRay probes Serve's proxy on every worker, from outside of the pod: so there is one on each node, and none
listens on the loopback interface alone. Everything else is as in serve_config.yaml.
"""

from __future__ import annotations

import re
from typing import Any

import typer
import yaml

from tools import CHECKOUT

MANIFEST = CHECKOUT / "deploy" / "k8s" / "base" / "rayservice.yaml"
_BLOCK = re.compile(r"(?<=^  serveConfigV2: \|\n)(?:    .*\n|\n)*", re.MULTILINE)


def serve_config() -> dict[str, Any]:
    """The application as KubeRay deploys it."""
    config: dict[str, Any] = yaml.safe_load((CHECKOUT / "serve_config.yaml").read_text(encoding="utf-8"))
    return config | {
        "proxy_location": "EveryNode",
        "http_options": config["http_options"] | {"host": "0.0.0.0"},  # noqa: S104 - of a pod
    }


def written(manifest: str) -> str:
    """The manifest with the application in it."""
    text = yaml.safe_dump(serve_config(), sort_keys=False, width=100)
    block = "".join(f"    {line}\n" for line in text.splitlines())
    found, times = _BLOCK.subn(lambda _: block, manifest)
    if times != 1:
        raise ValueError(f"{MANIFEST} has no serveConfigV2.")
    return found


def write() -> None:
    """Write the manifest again."""
    MANIFEST.write_text(written(MANIFEST.read_text(encoding="utf-8")), encoding="utf-8")
    typer.echo(f"Wrote {MANIFEST.relative_to(CHECKOUT)}.")


if __name__ == "__main__":
    typer.run(write)
