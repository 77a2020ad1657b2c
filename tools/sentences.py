"""Sentences as in profiles, on which a text encoder is compared with another computation of the same net."""

from __future__ import annotations

from itertools import product

_WHO = (
    "A student",
    "My sister",
    "The captain",
    "An old friend",
    "Émilie",
    "The quiet neighbour",
    "A biologist",
    "Our coach",
    "The painter",
    "Nobody",
)
_DOES = ("plays", "studies", "dislikes", "teaches", "writes about")
_WHAT = (
    "jazz guitar in the evenings.",
    "marine biology & 日本語.",
    "football, climbing and long train rides through the mountains of northern Italy.",
    "unbelievably antidisestablishmentarian poetry!",
)

SENTENCES = tuple(" ".join(parts) for parts in product(_WHO, _DOES, _WHAT))
"""200 sentences of 7 to 23 tokens, also with accents, ideographs and words of many pieces."""
