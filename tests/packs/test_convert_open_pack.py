"""The parts of the conversion that need no download; the whole is checked by the digests it prints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from tools.face_api import read_weights, same_padding
from tools.graph_builder import GraphBuilder, Output, quantise


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (112, 3, 2, (56, (0, 0, 1, 1))),
        (112, 3, 1, (112, (1, 1, 1, 1))),
        (7, 3, 2, (4, (1, 1, 1, 1))),
        (14, 1, 2, (7, (0, 0, 0, 0))),
    ],
)
def test_same_padding_is_tensorflows(
    size: int, kernel: int, stride: int, expected: tuple[int, tuple[int, ...]]
) -> None:
    assert same_padding(size, kernel, stride) == expected


def write_weights(folder: Path, entries: list[dict[str, object]], data: bytes) -> None:
    (folder / "net.bin").write_bytes(data)
    manifest = [{"paths": ["net.bin"], "weights": entries}]
    (folder / "net-weights_manifest.json").write_text(json.dumps(manifest))


def test_quantised_weights_are_read_as_floats(tmp_path: Path) -> None:
    quantised: dict[str, object] = {
        "name": "a",
        "shape": [2, 2],
        "dtype": "float32",
        "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0},
    }
    plain: dict[str, object] = {"name": "b", "shape": [], "dtype": "float32"}
    data = bytes([0, 1, 2, 255]) + np.float32(7).tobytes()
    write_weights(tmp_path, [quantised, plain], data)
    weights = read_weights(tmp_path, "net")
    np.testing.assert_array_equal(weights["a"], [[-1, -0.5], [0, 126.5]])
    assert weights["b"] == 7
    write_weights(tmp_path, [quantised], data)
    with pytest.raises(ValueError, match="4 bytes of weights are left over"):
        read_weights(tmp_path, "net")


def convolution(weights: NDArray[np.float32]) -> onnx.ModelProto:
    graph = GraphBuilder()
    output = Output(graph.conv("input", weights), "out", ("N", weights.shape[3], 1, 1))
    return graph.build("net", (1, 1), [output], "")


def run(model: onnx.ModelProto) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"input": np.ones((1, 3, 1, 1), np.float32)})[0])[0, :, 0, 0]


def test_quantisation_errs_by_half_a_step_per_weight_and_keeps_zero_exact() -> None:
    weights = np.random.default_rng(0).normal(0, 1, (1, 1, 3, 400)).astype(np.float32)
    weights[..., 7] = 0
    exact, compressed = run(convolution(weights)), run(quantise(convolution(weights)))
    steps = (np.maximum(weights.max((0, 1, 2)), 0) - np.minimum(weights.min((0, 1, 2)), 0)) / 255
    error = np.abs(compressed - exact)
    assert np.all(error <= 3 * steps / 2 + 1e-6)
    assert error.max() > 0
    assert compressed[7] == 0


def test_small_tensors_stay_as_they_are() -> None:
    weights = np.ones((1, 1, 3, 16), np.float32)
    assert quantise(convolution(weights)) == convolution(weights)
