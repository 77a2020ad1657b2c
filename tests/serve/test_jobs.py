"""Ray jobs started by hand on a running stack, not by `ray job submit`."""

from __future__ import annotations

import re

import pytest

from tests.support.service import Service

pytestmark = pytest.mark.ray


def test_a_job_finds_the_database_and_the_ray_of_the_stack(service: Service) -> None:
    told = service.shell("python -m batch.rematch --dry-run --users")
    assert "matches would be added" in told


def test_a_refusal_by_the_database_is_reported_in_a_sentence(service: Service) -> None:
    told = service.shell("python -m batch.reembed --pack open --drop", expect=1)
    assert re.match(r"error: The pack \w+ is in force\. Switch to another one", told), told


def test_a_change_of_packs_that_is_done_succeeds_again(service: Service) -> None:
    told = service.shell("python -m batch.reembed --pack open --switch")
    assert "Nothing is left to do: open " in told
