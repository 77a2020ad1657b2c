"""The celebrities of a gallery as arrays, in blocks, and where each of them is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from db.copy_arrays import Rows
from matching import gallery_file
from matching.eligibility import may_match
from matching.quantized import Codes, QuantizedTraits
from matching.ranking import Owners
from matching.rows import PersonNumbers, find, sortable, traits_of
from matching.scoring import MIN_QUALITY
from matching.traits import RATIOS, Places, Traits

BLOCK = 32_768
"""Celebrities in one set of arrays: what one pass of the engine takes."""

_PIECE = 8192
"""Celebrities that are written to a file at once."""


class Block:
    """BLOCK places for celebrities.

    fit: whether a place holds one of sufficient quality for a match. category: MD5 of its name; zeros for
    none. person: the number of the celebrity's person; an empty place has a negative number that no other of
    the block has.
    """

    def __init__(self) -> None:
        self.traits = QuantizedTraits.empty(BLOCK)
        self.ids = np.zeros(BLOCK, "V16")
        self.fit = np.zeros(BLOCK, bool)
        self.gender = np.zeros(BLOCK, np.int8)
        self.category = np.zeros(BLOCK, "V16")
        self.person = -1 - np.arange(BLOCK)
        self._owners: Owners | None = None
        self._matching: dict[int, NDArray[np.bool_]] = {}

    @classmethod
    def of(cls, columns: gallery_file.Arrays, start: int) -> Block:
        """The places from `start` on of arrays that `GalleryArrays.save` wrote: these arrays themselves, or
        copies if they do not fill the block."""
        part = slice(start, start + BLOCK)
        found = {name: column[part] for name, column in columns.items() if name not in _OTHER_SHAPES}
        traits = QuantizedTraits(
            Codes(columns["values"][part], found["scale"], found["error"]),
            Traits(
                embedding=np.empty((len(found["age"]), 0), np.float32),
                geometry=columns["geometry"][part].T,
                skin_tone=columns["skin_tone"][part].T,
                **{name: found[name] for name in ("age", "symmetry", "expression")},
            ),
        )
        block = cls()
        if len(traits) == BLOCK:
            block.traits = traits
            block.ids, block.fit, block.gender = found["ids"], found["fit"], found["gender"]
            block.category, block.person = found["category"], found["person"]
        else:
            places = np.arange(len(traits))
            block.traits.put(places, traits)
            for name in ("ids", "fit", "gender", "category", "person"):
                getattr(block, name)[places] = found[name]
        return block

    @property
    def owners(self) -> Owners:
        """Whose the celebrities of the block are."""
        if self._owners is None:
            self._owners = Owners.of(self.person)
        return self._owners

    def matching(self, stated: int) -> NDArray[np.bool_]:
        """Which places hold a celebrity whom a user who states this gender may match. stated: as in
        GENDERS."""
        mask = self._matching.get(stated)
        if mask is None:
            mask = self._matching[stated] = self.fit & may_match(stated, self.gender)
        return mask

    def write(self, places: Places, rows: Rows, person: NDArray[np.int64]) -> None:
        """Put celebrities at these places."""
        self.traits.put(places, QuantizedTraits.of(traits_of(rows)))
        self.ids[places] = rows["id"]
        self.fit[places] = rows["quality"] >= MIN_QUALITY
        self.gender[places] = rows["gender"]
        self.category[places] = rows["category"]
        self.person[places] = person
        self._changed()

    def remove(self, place: int) -> None:
        """Make a place empty."""
        self.fit[place] = False
        self.person[place] = -1 - place
        self._changed()

    def _changed(self) -> None:
        self._owners = None
        self._matching.clear()


class GalleryArrays:
    """Celebrities in blocks. Places are numbered through all blocks.

    Args:
        columns: What `save` wrote, of which as much as possible is used where it is.
    """

    def __init__(self, columns: gallery_file.Arrays | None = None) -> None:
        saved = np.empty(0, "V16") if columns is None else columns["saved_ids"]
        saved_places = np.empty(0, np.int32) if columns is None else columns["saved_places"]
        self.blocks: list[Block] = []
        self._free: list[int] = []
        self._people = PersonNumbers(None if columns is None else columns["people"])
        if columns is not None:
            self.blocks = [Block.of(columns, start) for start in range(0, len(saved), BLOCK)]
            self._free = list(range(len(self.blocks) * BLOCK - 1, len(saved) - 1, -1))
        # Those of the file, by ascending ids, are at the places it says, unless they have been removed since.
        self._saved = saved
        self._saved_places = saved_places
        self._removed: set[int] = set()
        self._later: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._saved) - len(self._removed) + len(self._later)

    @property
    def dimensions(self) -> int:
        """Dimensions of all embeddings; those after them are zero."""
        return max((block.traits.codes.dimensions for block in self.blocks), default=0)

    def write(self, rows: Rows) -> None:
        """Add celebrities, or replace those that have the same ids."""
        places = self._find_saved(rows["id"])
        for number, saved in enumerate(places.tolist()):
            if saved < 0 or saved in self._removed:
                places[number] = self._place(bytes(rows["id"][number]))
        person = self._people.of(rows["person"])
        for number, chosen in by_block(places):
            self.blocks[number].write(places[chosen] % BLOCK, rows[chosen], person[chosen])

    def remove(self, ids: list[UUID]) -> None:
        """Remove those of these that are there."""
        keys = np.array([key.bytes for key in ids], "V16")
        for key, saved in zip(keys, self._find_saved(keys).tolist(), strict=True):
            place = self._later.pop(bytes(key), None)
            if place is None and saved >= 0 and saved not in self._removed:
                place = saved
                self._removed.add(saved)
            if place is not None:
                self.blocks[place // BLOCK].remove(place % BLOCK)
                self._free.append(place)

    def id_at(self, place: int) -> UUID:
        """Whose place this is."""
        return UUID(bytes=bytes(self.blocks[place // BLOCK].ids[place % BLOCK]))

    def take(self, places: Places) -> QuantizedTraits:
        """The celebrities at these places."""
        found = QuantizedTraits.empty(len(places), self.dimensions)
        for number, chosen in by_block(places):
            found.put(chosen, self.blocks[number].traits.take(places[chosen] % BLOCK))
        return found

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write all to a file. Raises OSError.

        Those of one gender are together, so that a search for some genders passes over the others; those of
        insufficient quality come last.
        """
        there = np.ones(len(self._saved), bool)
        there[list(self._removed)] = False
        places = np.concatenate([np.flatnonzero(there), np.array(list(self._later.values()), np.int64)])
        ids = self._column("ids", places)
        fit, gender = self._column("fit", places), self._column("gender", places)
        order = np.lexsort((sortable(ids), gender, ~fit))
        ids, places = ids[order], places[order]
        by_id = np.argsort(sortable(ids))
        numbers, person = np.unique(self._column("person", places), return_inverse=True)
        people = self._people.keys()[numbers]
        order = np.argsort(sortable(people))
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        size = len(places)
        dimensions = self.dimensions
        layout: gallery_file.Layout = {
            **{name: (kind, (size,)) for name, kind in _COLUMNS.items()},
            "values": ("i1", (size, dimensions)),
            "geometry": ("f4", (size, len(RATIOS))),
            "skin_tone": ("f4", (size, 3)),
            "people": ("V16", (len(people),)),
        }
        with gallery_file.written(path, about, layout) as columns:
            columns["ids"][:] = ids
            columns["saved_ids"][:] = ids[by_id]
            columns["saved_places"][:] = by_id
            columns["person"][:] = rank[person]
            columns["people"][:] = people[order]
            for name in ("fit", "gender", "category"):
                columns[name][:] = self._column(name, places)
            for start in range(0, size, _PIECE):
                part = slice(start, start + _PIECE)
                faces = self.take(places[part])
                columns["values"][part, : faces.codes.dimensions] = faces.codes.values
                columns["scale"][part], columns["error"][part] = faces.codes.scale, faces.codes.error
                for name in ("age", "symmetry", "expression"):
                    columns[name][part] = getattr(faces.others, name)
                for name in ("geometry", "skin_tone"):
                    columns[name][part] = getattr(faces.others, name).T

    def _column(self, name: str, places: Places) -> NDArray[Any]:
        found = np.empty(len(places), _COLUMNS[name])
        for number, chosen in by_block(places):
            found[chosen] = getattr(self.blocks[number], name)[places[chosen] % BLOCK]
        return found

    def _find_saved(self, keys: NDArray[np.void]) -> NDArray[np.int64]:
        """The places that the file gives to these ids; -1 for those that are not in it."""
        found = find(self._saved, keys)
        known = found >= 0
        found[known] = self._saved_places[found[known]]
        return found

    def _place(self, key: bytes) -> int:
        place = self._later.get(key)
        if place is None:
            if not self._free:
                start = len(self.blocks) * BLOCK
                self.blocks.append(Block())
                self._free = list(range(start + BLOCK - 1, start - 1, -1))
            place = self._later[key] = self._free.pop()
        return place


_COLUMNS = {
    "saved_ids": "V16",
    "saved_places": "i4",
    "ids": "V16",
    "fit": "?",
    "gender": "i1",
    "category": "V16",
    "person": "i8",
    "scale": "f4",
    "error": "f4",
    "age": "i2",
    "symmetry": "f4",
    "expression": "i1",
}
"""The columns of a file with one value a celebrity. `saved_ids` and `saved_places` stay as they are, for
finding ids."""

_OTHER_SHAPES = ("values", "geometry", "skin_tone", "people")
"""Those with another number of values."""


def by_block(places: Places) -> Iterator[tuple[int, Places]]:
    """The block of places, and which of them are in it."""
    blocks = places // BLOCK
    for number in np.unique(blocks):
        yield int(number), np.flatnonzero(blocks == number)
