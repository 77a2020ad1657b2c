"""Deploying `serve_config.yaml` to a running head through Serve's REST API, and waiting until it answers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from ops.stack.home import StackHome
from ops.stack.processes import members
from ops.stack.ray_head import ray_mark
from semblance.cores import usable_cores
from semblance.errors import ConfigurationError, NotReadyError
from semblance.otlp import EXPORTER
from semblance.settings import Settings

SERVE_CONFIG = Path(__file__).with_name("serve_config.yaml")
"""In a checkout a link to the file at the root, which `serve deploy` takes; in an installed wheel a file."""

_DEPLOY_SECONDS = 120.0
_HEALTHY_SECONDS = 300.0
_READY_SECONDS = 60.0
_ANSWER_SECONDS = 4.0
_CHECKS_SECONDS = 7.0
"""`/ready` waits up to five for each check."""
_PATIENCE_SECONDS = 10.0
"""How long Serve's controller may be silent on a busy machine before it is restarted."""
_HEALING_SECONDS = 60.0
"""How long Serve may take to replace replicas and proxies by itself."""
_POLL = 0.2
_NOTHING_DEPLOYED = "Nothing is deployed."

_OURS = re.compile(r"\bsemblance\.errors\.\w+: ((?:.+\n?)+)")
"""The message of a SemblanceError in a traceback, up to an empty line."""


def read_config(path: Path, host: str, port: int) -> dict[str, Any]:
    """The Serve configuration for this machine: with the address of the stack, and at most one replica per
    core of each deployment. More would only compete.

    Raises ConfigurationError for an invalid file.
    """
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as exc:
        raise ConfigurationError(f"Cannot read {path}: {exc}") from exc
    if not isinstance(config, dict) or not config.get("applications"):
        raise ConfigurationError(f"{path} names no applications.")
    config["http_options"] = {**config.get("http_options", {}), "host": host, "port": port}
    cores = usable_cores()
    for application in config["applications"]:
        for deployment in application.get("deployments", []):
            scaling = deployment.get("autoscaling_config", {})
            for bound in scaling.keys() & {"min_replicas", "max_replicas"}:
                scaling[bound] = min(scaling[bound], cores)
    return config


def with_tracing(config: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The configuration with Serve's own tracing, if the settings name an endpoint."""
    if settings.otlp_endpoint is None:
        return config
    tracing = {"enabled": True, "exporter_import_path": EXPORTER, "sampling_ratio": settings.trace_sampling}
    return {**config, "tracing_config": tracing}


class ServeClient:
    """Client of the dashboard's Serve API and of the deployed API."""

    def __init__(self, dashboard_url: str, api_url: str, token: str) -> None:
        self._applications = f"{dashboard_url}/api/serve/applications/"
        self._api_url = api_url
        self._client = httpx.Client(trust_env=False, timeout=_DEPLOY_SECONDS)
        self._authorization = {"Authorization": f"Bearer {token}"}

    def close(self) -> None:
        self._client.close()

    def deploy(self, config: dict[str, Any]) -> None:
        """Send the configuration, which starts Serve's controller if necessary. Deployments that already run
        like this stay.

        Raises ConfigurationError.
        """
        try:
            response = self._client.put(self._applications, json=config, headers=self._authorization)
        except httpx.TransportError as exc:
            raise ConfigurationError(f"Ray's dashboard did not accept Serve's configuration: {exc}") from exc
        if response.status_code != HTTPStatus.OK:
            raise ConfigurationError(f"Serve refused its configuration: {_last_line(response.text)}")

    def wait_healthy(
        self, check: Callable[[], None], report: Callable[[str], None], seconds: float = _HEALTHY_SECONDS
    ) -> None:
        """Return when every application runs.

        Args:
            check: called between polls; may raise.
            report: called with the deployments that are still starting.
            seconds: how long to wait.

        Raises ConfigurationError with Serve's message if an application fails or takes too long.
        """
        deadline = time.monotonic() + seconds
        waiting = "none is known yet"
        while time.monotonic() < deadline:
            check()
            applications = self.applications() or {}
            for name, application in applications.items():
                if application["status"] in {"DEPLOY_FAILED", "UNHEALTHY"}:
                    raise ConfigurationError(f"Application {name} does not start: {_reason(application)}")
            if applications and all(app["status"] == "RUNNING" for app in applications.values()):
                return
            if (now := _starting(applications)) and now != waiting:
                waiting = now
                report(waiting)
            time.sleep(_POLL)
        raise ConfigurationError(f"Not ready after {seconds:.0f} s, still starting: {waiting}.")

    def applications(self, timeout: float = _DEPLOY_SECONDS) -> dict[str, Any] | None:
        """Applications by name, None while dashboard or controller do not answer."""
        try:
            response = self._client.get(self._applications, headers=self._authorization, timeout=timeout)
        except httpx.TransportError:
            return None
        applications: dict[str, Any] | None = response.json()["applications"] if response.is_success else None
        return applications

    def wait_ready(self, check: Callable[[], None]) -> None:
        """Return when `/ready` answers 200. Raises ConfigurationError with its answer if it does not in
        time."""
        deadline = time.monotonic() + _READY_SECONDS
        answer = "no answer"
        while time.monotonic() < deadline:
            check()
            try:
                response = self._client.get(f"{self._api_url}/ready", timeout=10.0)
                if response.status_code == HTTPStatus.OK:
                    return
                answer = response.text
            except httpx.TransportError as exc:
                answer = str(exc)
            time.sleep(_POLL)
        raise ConfigurationError(f"{self._api_url}/ready did not answer 200: {answer}")

    def is_answered(self) -> bool:
        """Whether `/health` of the API answers 2xx."""
        try:
            return self._client.get(f"{self._api_url}/health", timeout=_ANSWER_SECONDS).is_success
        except httpx.TransportError:
            return False


class ServeApp:
    """The application on Ray Serve, a part of the stack that needs Ray.

    Serve replaces replicas and proxies that die, and Ray replaces Serve's controller. This part deploys to a
    new Ray, and kills a controller that hangs.
    """

    name = "Ray Serve"

    def __init__(
        self,
        client: ServeClient,
        config: dict[str, Any],
        check: Callable[[], None],
        find_controller: Callable[[], psutil.Process | None],
        report: Callable[[str], None],
    ) -> None:
        """
        Args:
            client: of this stack.
            config: what to deploy.
            check: raises if waiting is useless, because Ray has ended.
            find_controller: gives the process of the controller, if it exists.
            report: called with the deployments that are still starting.
        """
        self._client = client
        self._config = config
        self._check = check
        self._find_controller = find_controller
        self._report = report

    def start(self) -> None:
        """Return when the whole application runs. Raises ConfigurationError."""
        if controller := self._find_controller():
            if not self._answers():
                # Ray starts another one, which continues with the running replicas.
                controller.kill()
            elif self._heals():
                return
        self._client.deploy(self._config)
        self._client.wait_healthy(self._check, self._report)
        if not self._heals():
            raise ConfigurationError(self.problem() or "It answers now.")

    def problem(self) -> str | None:
        applications = self._client.applications(_ANSWER_SECONDS)
        if applications is None:
            return "Its controller does not answer."
        if not applications:
            return _NOTHING_DEPLOYED
        for name, application in applications.items():
            if application["status"] != "RUNNING":
                waiting = _starting(applications)
                return f"Application {name} is {application['status']}{f' ({waiting})' if waiting else ''}."
        return None if self._client.is_answered() else "The API does not answer."

    def stop(self) -> None:
        """Nothing: the application ends with Ray."""

    def wait_ready(self) -> None:
        """Return when everything that the API needs answers too. Raises ConfigurationError otherwise."""
        self._client.wait_ready(self._check)

    def _answers(self) -> bool:
        """Whether the controller answers within some time."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._client.applications(_ANSWER_SECONDS) is None:
            self._check()
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True

    def _heals(self) -> bool:
        deadline = time.monotonic() + _HEALING_SECONDS
        while (problem := self.problem()) is not None:
            self._check()
            if problem == _NOTHING_DEPLOYED or time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True


def find_controller(home: StackHome) -> psutil.Process | None:
    """Find the process of Serve's controller by its title."""
    for process in members(ray_mark(home)):
        with suppress(psutil.Error):
            if "".join(process.cmdline()).startswith("ray::ServeController"):
                return process
    return None


@dataclass(frozen=True, slots=True)
class ReadyAnswer:
    """An answer of `/ready`.

    Attributes:
        ready: whether it is 200.
        problem: the checks that fail. None without an answer of the API: then another part has a problem.
    """

    ready: bool
    problem: str | None


class ServiceChecks:
    """What `/ready` checks beyond the parts of the stack, such as whether the picture store takes writes. It
    is only watched: nothing that could be restarted would help."""

    name = "Service"

    def __init__(self, api_url: str) -> None:
        self._url = f"{api_url}/ready"
        # Kept, as that of `RayHead`.
        self._client = httpx.Client(trust_env=False, timeout=_CHECKS_SECONDS)

    def start(self) -> None:
        """Raises NotReadyError while a check fails."""
        if problem := self.problem():
            raise NotReadyError(problem)

    def problem(self) -> str | None:
        """The checks that fail, as in `ReadyAnswer`."""
        return self.ask().problem

    def ask(self) -> ReadyAnswer:
        """What `/ready` says now."""
        try:
            response = self._client.get(self._url)
        except httpx.TransportError:
            return ReadyAnswer(ready=False, problem=None)
        ready = response.status_code == HTTPStatus.OK
        try:
            checks = response.json()["checks"]
        except (ValueError, LookupError, TypeError):
            return ReadyAnswer(ready, None)
        failed = {name: result.partition(": ")[2] for name, result in checks.items() if "failed" in result}
        return ReadyAnswer(ready, "; ".join(f"{name}: {reason}" for name, reason in failed.items()) or None)

    def stop(self) -> None:
        """Nothing: it only watches."""


def _starting(applications: dict[str, Any]) -> str:
    pending = []
    for application in applications.values():
        for name, deployment in application.get("deployments", {}).items():
            if deployment["status"] != "HEALTHY":
                running = sum(replica["state"] == "RUNNING" for replica in deployment["replicas"])
                pending.append(f"{name} {running}/{deployment['target_num_replicas']}")
    return ", ".join(pending)


def _reason(application: dict[str, Any]) -> str:
    messages = [application.get("message", "")]
    messages += [deployment.get("message", "") for deployment in application.get("deployments", {}).values()]
    # Serve gives them at the end of the traceback of a replica that could not start.
    if sentences := dict.fromkeys(text.strip() for text in _OURS.findall("\n".join(messages))):
        return "\n".join(sentences)
    return "\n".join(message for message in messages if message) or application["status"]


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
