"""What brings a version to a place where it runs: workflows, Cloud Run, and one version everywhere."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from semblance import __version__
from semblance.settings import Settings
from tools import CHECKOUT

WORKFLOWS = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))
CLOUD_RUN = (CHECKOUT / "deploy" / "cloudrun" / "service.yaml").read_text()


def test_the_version_is_said_in_one_place() -> None:
    assert version("semblance") == __version__
    assert "version" not in re.findall(r"^(\w+) = ", _project(), re.MULTILINE)


def _project() -> str:
    text = (CHECKOUT / "pyproject.toml").read_text()
    return text[text.index("[project]") : text.index("[project.optional-dependencies]")]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_have_no_rights_but_those_they_name(workflow: Path) -> None:
    text = workflow.read_text()
    content: dict[str, Any] = yaml.safe_load(text)
    assert content["permissions"] == {}
    for name, job in content["jobs"].items():
        assert job["permissions"], name
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
            # A value of the event would be run as code.
            assert "${{" not in step.get("run", ""), step


def test_cloud_run_gets_secrets_by_reference_and_settings_that_exist() -> None:
    service = yaml.safe_load(re.sub(r"\$\{\w+\}", "x", CLOUD_RUN))
    [container] = service["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each for each in container["env"]}
    for name, each in environment.items():
        if name.startswith("SEMBLANCE_"):
            field = Settings.model_fields[name.removeprefix("SEMBLANCE_").lower()]
            assert ("Secret" in str(field.annotation)) is ("valueFrom" in each), name
        else:
            assert "valueFrom" in each, name
    deploy = (CHECKOUT / ".github" / "workflows" / "deploy.yml").read_text()
    for variable in set(re.findall(r"\$\{(\w+)\}", CLOUD_RUN)):
        assert re.search(rf"^ +{variable}: ", deploy, re.MULTILINE), variable
