"""The documents that are written from the code."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.api import Api
from tools.api_docs import TARGET, render
from tools.openapi import document


def test_api_page_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run python -m tools.api_docs"


def test_every_operation_has_a_unique_name_and_a_sentence() -> None:
    operations = [operation for methods in document()["paths"].values() for operation in methods.values()]
    names = Counter(operation["operationId"] for operation in operations)
    assert [name for name, count in names.items() if count > 1] == []
    assert [operation["operationId"] for operation in operations if not operation.get("description")] == []


def test_every_user_operation_documents_its_refusals() -> None:
    for path, methods in document()["paths"].items():
        for operation in methods.values():
            if operation.get("security"):
                assert "401" in operation["responses"], path


async def test_the_document_is_written_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone may ask for it, and a client who asked all the time would keep a replica busy."""
    first = await api.client.get("/openapi.json")
    assert (first.status_code, first.headers["content-type"]) == (200, "application/json")
    assert first.json() == api.app.openapi()
    monkeypatch.setattr(api.app, "openapi_schema", {"openapi": "changed"})
    assert (await api.client.get("/openapi.json")).content == first.content
    assert (await api.client.head("/openapi.json")).headers["content-length"] == str(len(first.content))
