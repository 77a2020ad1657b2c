"""Which texts are valid names. The database applies the same rule to accounts that are created there."""

from __future__ import annotations

import unicodedata
from uuid import uuid4

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from semblance.names import MAX_LENGTH, usable_name
from semblance.settings import Settings
from serve_app.auth import TokenVerifier
from serve_app.schemas.profiles import ProfileChange
from tests.support.api import JWT_SECRET, make_token

ZWJ, ZWNJ, RLO, LRM = "\u200d", "\u200c", "\u202e", "\u200e"

COUPLE = f"\U0001f469\U0001f3fd{ZWJ}\u2764\ufe0f{ZWJ}\U0001f468"

NAMES = {
    "Ada Lovelace": "Ada Lovelace",
    "  Ada  ": "Ada",
    "\nAda\r\n": "Ada",
    "Ada \u00a0 \u3000Lovelace": "Ada Lovelace",
    "Zoe\u0308": "Zo\u00eb",
    "\u1112\u1161\u11ab": "\ud55c",
    # Invisible characters that come with copied names.
    f"{LRM}Ada\u00ad{LRM}": "Ada",
    "\ufeffA\u2060da": "Ada",
    " " * 300 + "x": "x",
    **{
        name: name
        for name in (
            "O'Neil-Ruiz (PhD), 3.",
            "\u0645\u0631\u064a\u0645",
            "\u90a6\U000e0100",
            "\U0001fae9\U0001faff",
            # Persian: two parts of one word that are not joined.
            f"\u0645\u0647{ZWNJ}\u0646\u0627\u0632",
            # Malayalam, Sinhala, Bengali, Hindi: forms of letters.
            f"\u0d06\u0d28\u0d28\u0d4d{ZWJ}",
            f"\u0dc1\u0dca{ZWJ}\u0dbb\u0dd3",
            f"\u09b0{ZWJ}\u09cd\u09af\u09be\u09ae",
            f"\u0915\u094d{ZWNJ}\u0937",
            f"Kim \U0001f469{ZWJ}\U0001f680",
            COUPLE,
            "x" * MAX_LENGTH,
        )
    },
}

NO_NAMES = [
    # Nothing visible.
    "", " ", "\u00a0\u3000", LRM, ZWJ, ZWNJ, ZWJ * 3, "\u200b", "\u3164", "\u2800", "\u115f\u1160", "\uffa0",
    "\ufe0f", "\u0301", "\U000e0020", "\ufff0", "\ufff8", "\U00013441", "\U00013442\U00013442", "a\ufff5b",
    "Ada\U00013441",
    # Joiners that join nothing.
    f"Ad{ZWJ}a", f"Ad{ZWNJ}a", f"{ZWJ}Ada", f"Ada{ZWJ}", f"Ada {ZWJ} L", f"\u0434{ZWJ}\u0430",
    f"\u6771{ZWJ}\u4eac", f"\U0001f469{ZWJ}", f"{ZWJ}\U0001f469", f"\U0001f469{ZWJ}{ZWJ}\U0001f680",
    f"\U0001f469{ZWNJ}\U0001f680", f"\u0645{ZWNJ}{ZWNJ}\u0646", f"\u0d28\u0d4d{ZWJ}{ZWJ}",
    f"a\u0645{ZWNJ}b",
    # Controls, overrides, invisible characters.
    "two\nlines", "a\tb", "a\x1fb", "a\x7fb", "a\x85b", "a\u2028b", f"{RLO}adA", "\u2066Ada\u2069",
    "a\u200bb", "Ada\u3164", "a\u06ddb", "\ue000", "a\uf8ff", "a\ufffe", "\U0010ffff", "a\U000e0041",
    "x" * (MAX_LENGTH + 1),
]  # fmt: skip


def decided(text: str) -> str | None:
    try:
        return usable_name(text)
    except ValueError:
        return None


@pytest.mark.parametrize("given", NAMES, ids=ascii)
def test_a_name_is_kept_as_it_is_read(given: str) -> None:
    assert usable_name(given) == NAMES[given]


@pytest.mark.parametrize("given", NO_NAMES, ids=ascii)
def test_invisible_and_deceptive_text_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"^A name .*\.$"):
        usable_name(given)


@pytest.mark.parametrize("given", ["\0", "a\0b", "\ud800", "a\udfff"], ids=ascii)
def test_text_that_the_database_cannot_store_is_refused(given: str) -> None:
    assert decided(given) is None


def test_no_character_without_a_shape_stands_alone() -> None:
    hidden = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs", "Mn", "Me", "Mc"}
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in hidden:
            assert decided(character) is None, hex(code)


@settings(max_examples=300, deadline=None, database=None)
@given(st.text(max_size=12))
@example("\u00a0\n\u200eA")
def test_an_accepted_name_is_accepted_again_unchanged(text: str) -> None:
    name = decided(text)
    assert name is None or decided(name) == name


def test_the_database_decides_the_same(dsn: str) -> None:
    texts = [*NAMES, *NO_NAMES]
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT usable_name(said) FROM unnest(%s::text[]) WITH ORDINALITY AS t (said, at) ORDER BY at",
            [texts],
        ).fetchall()
    found = {text: row[0] for text, row in zip(texts, rows, strict=True)}
    assert found == {text: decided(text) for text in texts}


async def test_tokens_and_requests_decide_the_same() -> None:
    verifier = TokenVerifier(Settings(jwt_secret=SecretStr(JWT_SECRET)))
    for text in [*NAMES, *NO_NAMES, "\0", "\ud800"]:
        claims = await verifier.verify(make_token(uuid4(), "ada@mit.edu", user_metadata={"name": text}))
        try:
            asked = ProfileChange(name=text, school=text)
        except ValidationError as exc:
            assert {error["msg"].split()[0] for error in exc.errors()} == {"A"}, "a sentence"
            asked = ProfileChange()
        assert claims.name == asked.name == asked.school == decided(text), ascii(text)
