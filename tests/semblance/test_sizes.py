import pytest

from semblance.sizes import byte_size


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1_000, "1,000 bytes"),
        (2**10, "1 KiB"),
        (2**20 - 1, "1,024 KiB"),
        (2**20, "1 MiB"),
        (25 * 2**20, "25 MiB"),
        (39_321_600, "37.5 MiB"),
        (2**30, "1 GiB"),
        (2000 * 2**30, "2,000 GiB"),
    ],
)
def test_a_size_is_said_as_people_read_it(count: int, words: str) -> None:
    assert byte_size(count) == words
