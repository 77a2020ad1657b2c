"""Pointwise convolutions and dense layers in integers: close to the floats, and safe on every processor."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from tools.graph_builder import GraphBuilder, Output
from tools.integers import HIGHEST, with_integers


def net() -> onnx.ModelProto:
    """A convolution, two pointwise ones, a depthwise one, another pointwise one, and a dense layer, on 8 px.
    The first pointwise one has too few inputs for integers."""
    rng = np.random.default_rng(4)
    graph = GraphBuilder()
    x = graph.node("Mul", "input", graph.constant(1 / 255))
    x = graph.conv(x, rng.normal(0, 0.4, (3, 3, 3, 16)), rng.normal(0, 0.2, 16), pads=(1, 1, 1, 1))
    x = graph.conv(graph.relu(x), rng.normal(0, 0.3, (1, 1, 16, 64)), rng.normal(0, 0.2, 64))
    x = graph.conv(graph.relu(x), rng.normal(0, 0.2, (1, 1, 64, 64)), rng.normal(0, 0.2, 64))
    x = graph.conv(x, rng.normal(0, 0.3, (3, 3, 64, 1)), pads=(1, 1, 1, 1), depthwise=True)
    x = graph.conv(graph.relu(x), rng.normal(0, 0.2, (1, 1, 64, 8)), rng.normal(0, 0.2, 8))
    weights, bias = graph.constant(rng.normal(0, 0.1, (512, 4))), graph.constant(rng.normal(0, 0.2, 4))
    x = graph.node("Gemm", graph.node("Flatten", x, axis=1), weights, bias)
    return graph.build("net", (8, 8), [Output(x, "out", ("N", 4))], "")


def run(model: onnx.ModelProto, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {"input": images.transpose(0, 3, 1, 2).astype(np.float32)})
    return np.asarray(out, np.float32)


def test_integers_give_nearly_what_floats_give_and_the_same_file_again() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    model = net()
    integer = with_integers(model, images)
    kinds = [node.op_type for node in integer.graph.node]
    assert (kinds.count("QLinearConv"), kinds.count("Conv")) == (2, 3)
    assert (kinds.count("MatMulInteger"), kinds.count("Gemm")) == (1, 0)
    expected, found = run(model, images), run(integer, images)
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)
    assert integer.SerializeToString() == with_integers(model, images).SerializeToString()


def test_no_sum_of_two_products_leaves_16_bits() -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), np.uint8)
    weights = [
        numpy_helper.to_array(tensor)
        for tensor in with_integers(net(), images).graph.initializer
        if tensor.name.endswith("_weights")
    ]
    assert len(weights) == 3
    assert all(values.dtype == np.int8 and np.abs(values).max() == HIGHEST for values in weights)
    assert 2 * 255 * HIGHEST < 2**15
