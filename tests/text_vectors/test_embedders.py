"""Who makes vectors, and what the database can store of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from db.text_embeddings import DIMENSIONS
from deployments.text_vectors.embedders import PackEmbedder, open_embedder
from deployments.texts.manifest import MINILM
from semblance.errors import ConfigurationError, PackError, TextRefusedError
from semblance.settings import Settings
from tests.support.text_provider import ProviderAnswer, TextProvider


def embeddings(*vectors: list[float]) -> ProviderAnswer:
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return ProviderAnswer(body=json.dumps({"data": data}).encode())


async def test_the_pack_that_ships_tells_texts_apart() -> None:
    embedder = open_embedder(Settings())
    vectors, use = await embedder.embed(["I play the violin.", "We make music.", "Taxes are due in May."])
    assert vectors.shape == (3, DIMENSIONS)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    assert (use.tokens_in, use.tokens_out) == (0, 0)
    assert (embedder.author.provider, embedder.author.model) == ("local", "minilm")


def test_a_pack_of_longer_vectors_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    manifest = json.loads((MINILM / "manifest.json").read_text()) | {"dimensions": 768}
    shutil.copy(MINILM / "LICENSE", tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(PackError, match="768 numbers; the database stores up to 384"):
        PackEmbedder(Settings(text_pack=tmp_path))


def test_a_model_of_a_server_needs_the_server() -> None:
    with pytest.raises(ConfigurationError, match="SEMBLANCE_TEXT_URL"):
        open_embedder(Settings(text_embedding_model="e"))


async def test_vectors_that_are_too_long_are_asked_for_in_short(text_provider: TextProvider) -> None:
    embedder = open_embedder(Settings(text_url=text_provider.url, text_embedding_model="e"))
    text_provider.answers += [embeddings([1.0] * 1536), embeddings([2.0] * 384), embeddings([1.0] * 384)]
    vectors, _ = await embedder.embed(["a"])
    assert np.allclose(vectors, 384**-0.5)
    await embedder.embed(["b"])
    assert [body.get("dimensions") for _, _, body in text_provider.requests] == [None, 384, 384]
    await embedder.close()


async def test_vectors_that_stay_too_long_are_refused(text_provider: TextProvider) -> None:
    embedder = open_embedder(Settings(text_url=text_provider.url, text_embedding_model="e"))
    text_provider.answers += [embeddings([1.0] * 1536)] * 2
    with pytest.raises(TextRefusedError):
        await embedder.embed(["a"])
    await embedder.close()
