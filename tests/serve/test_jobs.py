"""Ray jobs started by hand on a running stack, not by `ray job submit`."""

from __future__ import annotations

import pytest

from tests.support.service import Service

pytestmark = pytest.mark.ray


def test_a_job_finds_the_database_and_the_ray_of_the_stack(service: Service) -> None:
    told = service.shell("python -m batch.rematch --dry-run --users")
    assert "matches would be added" in told


def test_a_refusal_by_the_database_is_reported_in_a_sentence(service: Service) -> None:
    told = service.shell("python -m batch.reembed --pack open", expect=1)
    assert told.startswith("error: Pack open (")
    assert "serves already: it made all" in told
