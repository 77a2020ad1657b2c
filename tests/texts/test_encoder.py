"""The text pack that ships, and packs that must not load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.packs.manifest import MANIFEST_FILE, read_document
from deployments.texts.encoder import MAX_BATCH_TOKENS, TextEncoder, batches
from deployments.texts.manifest import MINILM, TextManifest
from semblance.errors import PackError
from semblance.settings import Settings
from tools.sentences import SENTENCES

SETTINGS = Settings(execution_provider="cpu")

REFERENCE = Path(__file__).with_name("minilm_reference.npy")
"""float16 [200, 384]: the published weights in NumPy (`python -m tools.minilm`)."""


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(MINILM, SETTINGS)


def install(folder: Path, **changes: Any) -> Path:
    """The pack that ships under another manifest."""
    folder.mkdir()
    for file in MINILM.iterdir():
        (folder / file.name).symlink_to(file)
    manifest = json.loads((MINILM / MANIFEST_FILE).read_text()) | changes
    (folder / MANIFEST_FILE).unlink()
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    return folder


def test_sentences_have_the_vectors_of_the_published_net(encoder: TextEncoder) -> None:
    found = encoder.encode(SENTENCES)
    expected = np.load(REFERENCE).astype(np.float32)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert found.shape == (200, encoder.dimensions)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (found * expected).sum(1).min() >= 0.99


def test_vectors_come_in_the_order_of_the_texts(encoder: TextEncoder) -> None:
    texts = ["A long walk along the river, and a swim in it after.", "Chess", "", "I bake bread."]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert encoder.encode([]).shape == (0, encoder.dimensions)


def test_a_text_is_found_by_what_it_means(encoder: TextEncoder) -> None:
    query, *bios = encoder.encode(
        [
            "someone who loves making music",
            "I study marine biology",
            "I play the guitar in a band",
            "Football every weekend",
        ]
    )
    assert int(np.argmax(np.array(bios) @ query)) == 1


def test_of_a_long_text_the_beginning_counts(encoder: TextEncoder) -> None:
    beginning = "I write letters. " * 100
    first, second = encoder.encode([beginning + "And I sail.", beginning + "And I climb."])
    np.testing.assert_array_equal(first, second)


@given(st.lists(st.integers(2, 512), max_size=100))
def test_batches_hold_each_text_once_and_stay_small(lengths: list[int]) -> None:
    made = list(batches(lengths))
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[index] for index in batch) <= MAX_BATCH_TOKENS for batch in made)


def test_non_commercial_pack_needs_consent(tmp_path: Path) -> None:
    licence = {"name": "CC-BY-NC-4.0", "file": None, "commercial_use": False}
    folder = install(tmp_path / "research", name="research", licence=licence)
    with pytest.raises(PackError, match=r"non-commercial use only.*SEMBLANCE_ACCEPT_NONCOMMERCIAL=1"):
        TextEncoder(folder, SETTINGS)
    agreed = SETTINGS.model_copy(update={"accept_noncommercial": True})
    assert TextEncoder(folder, agreed).info.pack == "research"


def test_damaged_pack_does_not_load(tmp_path: Path) -> None:
    folder = install(tmp_path / "mine")
    (folder / "vocab.txt").unlink()
    (folder / "vocab.txt").write_bytes((MINILM / "vocab.txt").read_bytes() + b"more\n")
    with pytest.raises(PackError, match=r"vocab\.txt is damaged"):
        TextEncoder(folder, SETTINGS)


def test_a_graph_of_another_size_than_its_manifest_says_does_not_load(tmp_path: Path) -> None:
    folder = install(tmp_path / "mine", dimensions=512)
    with pytest.raises(PackError, match=r"vectors of \(384,\); the manifest says 512"):
        TextEncoder(folder, SETTINGS)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"encoder": "other.onnx"}, r"sha256 lacks other\.onnx"),
        ({"sha256": {"../vocab.txt": "0" * 64}}, "not a path inside the pack"),
        ({"format": "semblance-pack/1"}, "format"),
    ],
)
def test_manifests_that_are_refused(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(PackError, match=problem):
        read_document(install(tmp_path / "mine", **change), TextManifest)


def test_another_vocabulary_is_another_digest(tmp_path: Path) -> None:
    shipped = read_document(MINILM, TextManifest)
    other = {**shipped.sha256, "vocab.txt": "0" * 64}
    assert read_document(install(tmp_path / "mine", sha256=other), TextManifest).digest != shipped.digest
