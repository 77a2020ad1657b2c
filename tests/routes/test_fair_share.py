"""How much one client may use of what all share."""

from __future__ import annotations

import pytest

from semblance.errors import BusyClientError, OverloadedError
from serve_app.limits import Client, FairShare

ADA, BOB, EVE = (Client("user", name) for name in ("ada", "bob", "eve"))


def taken(share: FairShare, client: Client, attempts: int = 100) -> int:
    """How many units the client gets, one by one, until it is refused."""
    for number in range(attempts):
        try:
            share.take(client)
        except (BusyClientError, OverloadedError):
            return number
    return attempts


def test_alone_a_client_gets_all_but_anothers_share() -> None:
    slots = FairShare(64, 0.25, what="Things")
    assert taken(slots, ADA) == 48
    with pytest.raises(BusyClientError, match="Things of yours"):
        slots.take(ADA)
    assert taken(slots, BOB) == 16


def test_a_client_that_comes_when_all_is_taken_is_refused() -> None:
    slots = FairShare(8, 0.25, what="Things")
    for client in (ADA, BOB):
        taken(slots, client)
    with pytest.raises(OverloadedError, match="Things are being worked on"):
        slots.take(EVE)


def test_what_the_greedy_gives_back_goes_to_others_first() -> None:
    slots = FairShare(8, 0.25, what="Things")
    assert (taken(slots, ADA), taken(slots, BOB)) == (6, 2)
    slots.give_back(ADA)
    with pytest.raises(BusyClientError):
        slots.take(ADA)
    slots.take(EVE)
    for _ in range(4):
        slots.give_back(ADA)
    # Back below its share it has the same right as others.
    slots.take(ADA)


@pytest.mark.parametrize(
    ("limit", "share", "most"), [(1, 0.25, 1), (2, 0.25, 1), (3, 0.5, 2), (10, 1.0, 10), (4, 0.01, 3)]
)
def test_small_limits_and_all_shares(limit: int, share: float, most: int) -> None:
    slots = FairShare(limit, share, what="Things")
    assert taken(slots, ADA) == most


def test_all_is_given_back_after_any_outcome() -> None:
    slots = FairShare(1, 0.25, what="Things")
    with pytest.raises(ZeroDivisionError), slots.held(ADA):
        raise ZeroDivisionError
    with slots.held(BOB), pytest.raises(OverloadedError), slots.held(EVE):
        pass
    assert taken(slots, EVE) == 1
