"""The encoder's graph against the net in NumPy, with random weights; the published ones are a download."""

from __future__ import annotations

import numpy as np
import pytest

from tools.minilm import LEAST_COSINE, WIDTH, EncoderGraph, Weights, least_cosine, reference

WORDS, INNER, POSITIONS = 50, 64, 16


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Those of an encoder of one layer."""
    random = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings": (WORDS, WIDTH),
        "embeddings.position_embeddings": (POSITIONS, WIDTH),
        "embeddings.token_type_embeddings": (2, WIDTH),
    }
    layer = "encoder.layer.0"
    dense = {
        **{f"{layer}.attention.self.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")},
        f"{layer}.attention.output.dense": (WIDTH, WIDTH),
        f"{layer}.intermediate.dense": (INNER, WIDTH),
        f"{layer}.output.dense": (WIDTH, INNER),
    }
    normalised = ("embeddings.LayerNorm", f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm")
    shapes |= dense | dict.fromkeys(normalised, (WIDTH,))
    biases = {**{name: shape[0] for name, shape in dense.items()}, **dict.fromkeys(normalised, WIDTH)}
    made = {f"{name}.weight": random.normal(0, 0.1, shape) for name, shape in shapes.items()}
    made |= {f"{name}.bias": random.normal(0, 0.1, size) for name, size in biases.items()}
    return {name: values.astype(np.float32) for name, values in made.items()}


@pytest.mark.parametrize("small", [False, True])
def test_the_graph_computes_what_numpy_does(weights: Weights, small: bool) -> None:
    random = np.random.default_rng(6)
    tokens = [random.integers(0, WORDS, length).tolist() for length in (2, 5, POSITIONS)]
    expected = np.stack([reference(weights, ids) for ids in tokens])
    model = EncoderGraph(weights, small=small).model().SerializeToString()
    assert least_cosine(model, tokens, expected) >= LEAST_COSINE[small]
