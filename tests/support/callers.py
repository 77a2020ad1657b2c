"""Two ways to call an operation of the API by its name: plain HTTP, and a client generated from OpenAPI."""

from __future__ import annotations

import importlib
import inspect
import io
import json
import subprocess
import sys
from enum import EnumType
from pathlib import Path
from typing import Any, Protocol, get_args, get_type_hints

import httpx

GENERATOR = Path(sys.executable).with_name("openapi-python-client")
PACKAGE = "generated_semblance_client"


class Caller(Protocol):
    """Calls operations as one user."""

    def call(self, operation: str, expect: int = 200, **inputs: Any) -> Any:
        """The answer's JSON, None without one. inputs: path and query parameters by name, `body` for a JSON
        body, `file` for the bytes of a picture. Fails the test unless the status is `expect`."""


class HttpCaller:
    """Plain requests, with the addresses taken from the OpenAPI document."""

    def __init__(self, base_url: str, document: dict[str, Any], token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=base_url, headers=headers, timeout=60)
        self._operations = {
            operation["operationId"]: (method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }

    def call(self, operation: str, expect: int = 200, **inputs: Any) -> Any:
        method, path, description = self._operations[operation]
        body, file = inputs.pop("body", None), inputs.pop("file", None)
        for parameter in description.get("parameters", []):
            if parameter["in"] == "path":
                path = path.replace("{" + parameter["name"] + "}", inputs.pop(parameter["name"]))
        answer = self._client.request(
            method, path, params=inputs, json=body, files={"file": ("photo.jpg", file)} if file else None
        )
        assert answer.status_code == expect, f"{operation}: {answer.status_code} {answer.text}"
        assert answer.headers["x-request-id"]
        return answer.json() if answer.content else None

    def close(self) -> None:
        self._client.close()


class GeneratedCaller:
    """The functions that openapi-python-client makes; every answer must be one it can parse."""

    def __init__(self, base_url: str, document: dict[str, Any], token: str) -> None:
        client = importlib.import_module(f"{PACKAGE}.client")
        self._types = importlib.import_module(f"{PACKAGE}.types")
        self._client = client.AuthenticatedClient(
            base_url=base_url, token=token, raise_on_unexpected_status=True, timeout=httpx.Timeout(60)
        )
        self._modules = {
            operation["operationId"]: f"{PACKAGE}.api.{operation['tags'][0].replace(' ', '_')}"
            for methods in document["paths"].values()
            for operation in methods.values()
        }

    def call(self, operation: str, expect: int = 200, **inputs: Any) -> Any:
        function = importlib.import_module(f"{self._modules[operation]}.{operation}").sync_detailed
        body, file = inputs.pop("body", None), inputs.pop("file", None)
        if body is not None:
            inputs["body"] = self._body(function, json.dumps(body))
        if file is not None:
            picture = self._types.File(
                payload=io.BytesIO(file), file_name="photo.jpg", mime_type="image/jpeg"
            )
            inputs["body"] = self._model(function)(file=picture)
        answer = function(client=self._client, **self._enums(function, inputs))
        assert answer.status_code == expect, f"{operation}: {answer.status_code} {answer.content!r}"
        if not answer.content:
            return None
        assert answer.parsed is not None, operation
        content = json.loads(answer.content)
        # Times are written in another way once they have been parsed.
        assert answer.parsed.to_dict().keys() == content.keys(), operation
        return content

    def close(self) -> None:
        self._client.get_httpx_client().close()

    def _enums(self, function: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs, with members of the generated enumerations in place of their texts."""
        hints = get_type_hints(function)
        kinds = {name: get_args(hints[name]) or (hints[name],) for name in inputs}
        enums = {
            name: next((kind for kind in kinds[name] if isinstance(kind, EnumType)), None) for name in inputs
        }
        return {name: enum(inputs[name]) if (enum := enums[name]) else inputs[name] for name in inputs}

    def _body(self, function: Any, text: str) -> Any:
        return self._model(function).from_dict(json.loads(text))

    def _model(self, function: Any) -> Any:
        """The class of the operation's body; of several, the first."""
        hint = get_type_hints(function, vars(inspect.getmodule(function)))["body"]
        candidates = [kind for kind in get_args(hint) or (hint,) if hasattr(kind, "from_dict")]
        return candidates[0]


def generate_client(document: dict[str, Any], folder: Path) -> None:
    """Generate the package into `folder` and make it importable."""
    source = folder / "openapi.json"
    source.write_text(json.dumps(document))
    config = folder / "generator.yaml"
    config.write_text("post_hooks: []\n")
    command = [GENERATOR, "generate", "--path", source, "--output-path", folder / PACKAGE]
    options = ["--meta", "none", "--config", config]
    done = subprocess.run(
        [*map(str, command), *map(str, options)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Pictures are none of the types that the generator knows; everything else it must understand.
    assert [line for line in done.stdout.splitlines() if line.startswith("WARNING")] in (
        [],
        ["WARNING parsing GET /objects/{key} within pictures."],
    ), done.stdout
    sys.path.insert(0, str(folder))
