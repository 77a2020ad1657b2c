"""On Supabase a profile begins with the account; an address that may not sign up must not get one."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest

from db.migrate import upgrade
from db.pool import Database
from db.profiles import Profiles
from semblance.errors import UnauthorizedError
from semblance.schools import school_of
from tests.support.supabase import SUPABASE, run


@pytest.fixture
def supabase(empty_dsn: str) -> str:
    run(empty_dsn, SUPABASE)
    upgrade(empty_dsn)
    return empty_dsn


def test_only_addresses_that_may_sign_up_begin_a_profile(supabase: str) -> None:
    """The database and the application decide alike."""
    addresses = [
        "a@mit.edu", "A@CS.MIT.EDU", "a@x-1.y.edu", "a@gmail.com", "a@evil.edu.com", "a@edu", "a@.edu",
        "a@fakeedu", "a@mit..edu", "a@mit.edu.", "a@evil.com@mit.edu", "@mit.edu", "a@mit.edu\n", "", None,
    ]  # fmt: skip
    with psycopg.connect(supabase, autocommit=True) as connection:
        for address in addresses:
            connection.execute("INSERT INTO auth.users VALUES (gen_random_uuid(), %s, NULL)", [address])
        made = {row[0] for row in connection.execute("SELECT email FROM profiles")}
        assert made == {address for address in addresses if school_of(address)}
        assert connection.execute("SELECT count(*) FROM auth.users").fetchone() == (len(addresses),)


def test_the_setting_opens_it_to_all(supabase: str) -> None:
    with psycopg.connect(supabase, autocommit=True) as connection:
        connection.execute("UPDATE system_settings SET value = 'true' WHERE key = 'allow_non_edu_emails'")
        for address in ("a@gmail.com", None):
            connection.execute("INSERT INTO auth.users VALUES (gen_random_uuid(), %s, NULL)", [address])
        assert connection.execute("SELECT count(*) FROM profiles").fetchone() == (2,)


async def test_an_account_that_was_deleted_is_refused(supabase: str) -> None:
    """Its token may be valid for another hour; in the old app's database, profiles refer to accounts."""
    run(supabase, "ALTER TABLE profiles ADD FOREIGN KEY (id) REFERENCES auth.users (id) ON DELETE CASCADE")
    database = await Database.connect(supabase, pool_size=1)
    try:
        with pytest.raises(UnauthorizedError, match="account no longer exists"):
            await Profiles(database).create(uuid4(), email="a@mit.edu", name=None, gender=None, school=None)
    finally:
        await database.close()
