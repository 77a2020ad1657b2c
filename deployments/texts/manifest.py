"""The manifest of a text pack: which file is the graph, which the vocabulary, and what they may be used
for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from deployments.packs.manifest import FileName, PackManifest, read_document
from semblance.settings import Settings

MINILM = Path(__file__).parent / "minilm"
"""The text pack that ships."""

MAX_DIMENSIONS = 2000
"""Most dimensions of a vector that pgvector indexes."""


class TextManifest(PackManifest):
    """`manifest.json` of a text pack.

    encoder: ONNX graph from int64 `ids` and `mask`, both [N, T], to float32 `embedding` [N, dimensions] of
    unit length. vocabulary: a lower-case WordPiece vocabulary, one token a line, in the order of the ids.
    max_tokens: of a text, with its first and its last; the rest of a longer text is not read.
    """

    format: Literal["semblance-text-pack/1"]
    encoder: FileName
    vocabulary: FileName
    dimensions: int = Field(ge=1, le=MAX_DIMENSIONS)
    max_tokens: int = Field(ge=3, le=512)

    def _named(self) -> set[FileName | None]:
        return {*super()._named(), self.encoder, self.vocabulary}


def text_pack(settings: Settings) -> tuple[Path, TextManifest]:
    """The folder of the text pack in use and its manifest. Raises PackError for one that is missing or
    invalid."""
    folder = settings.text_pack or MINILM
    return folder, read_document(folder, TextManifest)


def text_model(settings: Settings) -> str:
    """The model of the vectors of texts, as they are stored: the digest of the text pack, or the name of the
    server's model. Raises PackError as `text_pack`."""
    return settings.text_embedding_model or text_pack(settings)[1].digest
