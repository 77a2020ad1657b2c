"""The documents that are written from the code."""

from __future__ import annotations

from collections import Counter

from semblance.settings import Settings
from serve_app.api.factory import create_app
from serve_app.api.services import Services
from tools.api_docs import TARGET, render


async def _none() -> Services:
    raise AssertionError("The document needs no services.")


def test_api_page_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run python -m tools.api_docs"


def test_every_operation_has_a_unique_name_and_a_sentence() -> None:
    document = create_app(Settings(), _none).openapi()
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = Counter(operation["operationId"] for operation in operations)
    assert [name for name, count in names.items() if count > 1] == []
    assert [operation["operationId"] for operation in operations if not operation.get("description")] == []


def test_every_user_operation_documents_its_refusals() -> None:
    document = create_app(Settings(), _none).openapi()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if operation.get("security"):
                assert "401" in operation["responses"], path
