"""8-bit arithmetic for the pointwise convolutions and the dense layers of a net, where nearly all of its
multiplications and weights are.

Weights get seven bits: two products of a byte and seven bits fit the 16 bits in which processors without sums
of byte products (VNNI) add them, so that every processor gives the same result. Depthwise convolutions gain
little and lose most by it, so they stay floats, as does what lies between.

A dense layer reads each weight once per image, so its time is that of reading them, and bytes take a quarter
of it. Its sums are exact, and scaled in floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

HIGHEST = 63
"""Largest weight, in steps."""

FEWEST_INPUTS = 64
"""Input channels from which on a pointwise convolution gains more by integers than the conversions cost."""

LEVELS = 255
"""Steps of an activation's range."""


def with_integers(model: onnx.ModelProto, images: NDArray[np.uint8]) -> onnx.ModelProto:
    """The same net with its pointwise convolutions and dense layers computed in integers.

    images: uint8 RGB [N, H, W, 3] of the kind that the net will see; the ranges of activations are taken from
    them.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    pointwise = [
        node
        for node in model.graph.node
        if node.op_type == "Conv" and _is_worth_it(constants[node.input[1]].shape)
    ]
    dense = [node for node in model.graph.node if node.op_type == "Gemm"]
    seen = {name for node in pointwise for name in (node.input[0], node.output[0])}
    ranges = _ranges(model, sorted(seen | {node.input[0] for node in dense}), images)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node in pointwise:
            nodes += _integer_convolution(graph, node, constants, ranges)
        elif node in dense:
            nodes += _integer_product(graph, node, constants, ranges)
        else:
            nodes.append(node)
    replaced = {name for node in pointwise for name in node.input[1:]} | {node.input[1] for node in dense}
    kept = [tensor for tensor in graph.initializer if tensor.name not in replaced]
    del graph.node[:]
    del graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    onnx.checker.check_model(result)
    return result


def _is_worth_it(shape: tuple[int, ...]) -> bool:
    """Whether a convolution is pointwise, with inputs enough; those of a depthwise one count as 1."""
    return shape[1] >= FEWEST_INPUTS and shape[2:] == (1, 1)


def _ranges(
    model: onnx.ModelProto, names: Sequence[str], images: NDArray[np.uint8]
) -> dict[str, tuple[float, int]]:
    """Step and zero point of each tensor, from its smallest and largest value and 0. Steps are rounded up to
    six bits, so that they do not depend on the last bits of floats."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
    tensors = session.run(list(names), {model.graph.input[0].name: planes})
    found = {}
    for name, tensor in zip(names, tensors, strict=True):
        low, high = min(float(tensor.min()), 0.0), max(float(tensor.max()), 0.0)
        mantissa, exponent = math.frexp((high - low) / LEVELS)
        step = math.ldexp(math.ceil(mantissa * 64) / 64, exponent)
        found[name] = step, round(-low / step)
    return found


def _integer_convolution(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    constants: dict[str, NDArray[np.float32]],
    ranges: dict[str, tuple[float, int]],
) -> list[onnx.NodeProto]:
    """Quantise, convolve, dequantise, under the name of the output that it replaces."""
    source, target = node.input[0], node.output[0]
    weights, bias = (constants[name].astype(np.float64) for name in node.input[1:])
    (step_in, zero_in), (step_out, zero_out) = ranges[source], ranges[target]
    scale = _scale(weights, (1, 2, 3))
    values: dict[str, NDArray[np.generic]] = {
        "weights": np.rint(weights / scale[:, None, None, None]).astype(np.int8),
        "scale": scale.astype(np.float32),
        "centre": np.zeros(len(scale), np.int8),
        "bias": np.rint(bias / (step_in * scale)).astype(np.int32),
        "step_in": np.array(step_in, np.float32),
        "zero_in": np.array(zero_in, np.uint8),
        "step_out": np.array(step_out, np.float32),
        "zero_out": np.array(zero_out, np.uint8),
    }
    w, scales, centre, biases, step_x, zero_x, step_y, zero_y = _added(graph, target, values)
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return [
        helper.make_node("QuantizeLinear", [source, step_x, zero_x], [f"{target}_in"], name=f"Q_{target}"),
        helper.make_node(
            "QLinearConv",
            [f"{target}_in", step_x, zero_x, w, scales, centre, step_y, zero_y, biases],
            [f"{target}_out"],
            name=node.name,
            **attributes,
        ),
        helper.make_node("DequantizeLinear", [f"{target}_out", step_y, zero_y], [target], name=f"D_{target}"),
    ]


def _integer_product(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    constants: dict[str, NDArray[np.float32]],
    ranges: dict[str, tuple[float, int]],
) -> list[onnx.NodeProto]:
    """Quantise, multiply by the weights [inputs, outputs], scale and add the bias."""
    source, target = node.input[0], node.output[0]
    weights = constants[node.input[1]].astype(np.float64)
    step, zero = ranges[source]
    scale = _scale(weights, 0)
    values: dict[str, NDArray[np.generic]] = {
        "step_in": np.array(step, np.float32),
        "zero_in": np.array(zero, np.uint8),
        "weights": np.rint(weights / scale).astype(np.int8),
        "scale": (step * scale).astype(np.float32),
    }
    step_x, zero_x, w, scales = _added(graph, target, values)
    bytes_in, sums, floats, scaled = (f"{target}_{name}" for name in ("in", "sums", "floats", "scaled"))
    return [
        helper.make_node("QuantizeLinear", [source, step_x, zero_x], [bytes_in], name=f"Q_{target}"),
        helper.make_node("MatMulInteger", [bytes_in, w, zero_x], [sums], name=node.name),
        helper.make_node("Cast", [sums], [floats], name=f"F_{target}", to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [floats, scales], [scaled], name=f"S_{target}"),
        helper.make_node("Add", [scaled, node.input[2]], [target], name=f"B_{target}"),
    ]


def _added(graph: onnx.GraphProto, target: str, values: dict[str, NDArray[np.generic]]) -> list[str]:
    """The names of constants, added to the graph for the output `target`."""
    names = [f"{target}_{name}" for name in values]
    graph.initializer.extend(map(numpy_helper.from_array, values.values(), names))
    return names


def _scale(weights: NDArray[np.float64], axes: int | tuple[int, ...]) -> NDArray[np.float64]:
    """What a step of each output's weights stands for, as a float32 has it."""
    largest: NDArray[np.float64] = np.abs(weights).max(axis=axes)
    scale = (np.maximum(largest, 1e-9) / HIGHEST).astype(np.float32)
    return scale.astype(np.float64)
