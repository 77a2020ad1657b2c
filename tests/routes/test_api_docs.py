"""The documents that are written from the code."""

from __future__ import annotations

from collections import Counter

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
