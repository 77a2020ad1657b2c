"""The open pack's nets from the OpenCV Zoo, rebuilt from block-quantised ONNX files.

SFace (Zhong, Deng et al., IEEE TIP 30, 2021; `face_recognition_sface_2021dec`) and YuNet (Wu, Peng, Yu,
Machine Intelligence Research 20, 2023; `face_detection_yunet_2023mar`). The files list their weights as
inputs and dequantise them in blocks, which onnxruntime does not fold; here they become plain weights. The
results are those of the files up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tools.graph_builder import GraphBuilder, Output

Constants = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]

SFACE_SIDE = 112

SFACE_LAYERS = 27
"""Convolutions, each followed by a batch normalisation and a PRelu."""

CANVAS = 640
"""Side in pixels of the canvas; YuNet's boxes and keypoints are given as shares of it."""

STRIDES = (8, 16, 32)
"""Pixels per cell of YuNet's three feature maps."""

HEADS = ("cls", "obj", "bbox", "kps")
CERTAIN, CENTRE, SIZE, POINTS = slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 16)
"""What YuNet computes for each cell, and where it is once the heads are joined: class and objectness of one
number each, a box of four and keypoints of ten."""


def sface(model: onnx.ModelProto) -> onnx.ModelProto:
    """SFace with its batch normalisations in the weights, and each PRelu as max(x, slope x); see `_maximum`.

    The maximum equals a PRelu for slopes up to 1. A channel with a larger one is negated in the convolution
    before it, which makes it a maximum again, and the layer after it restores the sign.

    Raises ValueError if the model is another net.
    """
    constants, nodes = _unpacked(model)
    expected = ["Sub", "Mul", *["Conv", "BatchNormalization", "PRelu"] * SFACE_LAYERS]
    expected += ["BatchNormalization", "Flatten", "Gemm", "BatchNormalization"]
    if [node.op_type for node in nodes] != expected:
        raise ValueError("The layers are not those of SFace 2021dec.")
    graph, x = GraphBuilder(), "input"
    for node in nodes[:2]:
        x = graph.node(node.op_type, x, graph.constant(constants[node.input[1]]))
    sign = np.ones(1)
    for start in range(2, 2 + 3 * SFACE_LAYERS, 3):
        conv, norm, prelu = nodes[start : start + 3]
        depthwise = _attribute(conv, "group", 1) > 1
        kernel = constants[conv.input[1]].astype(np.float64)
        kernel *= sign[:, None, None, None] if depthwise else sign[:, None, None]
        gain, shift = _affine(norm, constants)
        slope = constants[prelu.input[1]].astype(np.float64).ravel()
        sign = np.where(slope > 1, -1.0, 1.0)
        kernel *= (gain * sign)[:, None, None, None]
        x = graph.conv(
            x,
            kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(2, 3, 1, 0),
            shift * sign,
            stride=_attribute(conv, "strides", [1, 1])[0],
            pads=_attribute(conv, "pads", (0, 0, 0, 0)),
            depthwise=depthwise,
        )
        x = _maximum(graph, x, slope)
    weights, bias = _vector(*nodes[-4:], constants=constants, sign=sign)
    x = graph.node("Gemm", graph.node("Flatten", x, axis=1), graph.constant(weights), graph.constant(bias))
    return graph.build(
        "sface",
        (SFACE_SIDE, SFACE_SIDE),
        [Output(x, "embedding", ("N", len(bias)))],
        "SFace 2021dec (Apache-2.0). RGB 0..255, aligned to ArcFace's five points; not normalised",
    )


def _maximum(graph: GraphBuilder, x: str, slope: Floats) -> str:
    """max(x, slope x) of each channel, as slope x + relu((1 - slope) x).

    onnxruntime spends over half of the published net's time in PRelu, and leaves the blocked layout of its
    convolutions for it, as for Max. A convolution of one pixel scales within that layout, and applies Relu
    and the sum on the way.
    """
    scaled, rest = (graph.conv(x, each[None, None, :, None], depthwise=True) for each in (slope, 1 - slope))
    return graph.add(scaled, graph.relu(rest))


def _vector(
    before: onnx.NodeProto,
    _flatten: onnx.NodeProto,
    gemm: onnx.NodeProto,
    after: onnx.NodeProto,
    *,
    constants: Constants,
    sign: Floats,
) -> tuple[Floats, Floats]:
    """The last layer with the normalisations around it: weights [I, O] and bias [O]."""
    weights, bias = (constants[name].astype(np.float64) for name in gemm.input[1:])
    (gain, shift), (last_gain, last_shift) = _affine(before, constants), _affine(after, constants)
    by_channel = weights.reshape(len(weights), len(gain), -1)
    # Exact sums: an order of addition that depends on the processor would show in the file.
    bias = bias + [math.fsum(row) for row in (by_channel * shift[:, None]).reshape(len(weights), -1)]
    weights = (by_channel * (gain * sign)[:, None]).reshape(weights.shape) * last_gain[:, None]
    return weights.T, bias * last_gain + last_shift


def _affine(norm: onnx.NodeProto, constants: Constants) -> tuple[Floats, Floats]:
    """Factor and summand per channel of a batch normalisation."""
    scale, offset, mean, variance = (constants[name].astype(np.float64) for name in norm.input[1:])
    gain = scale / np.sqrt(variance + _attribute(norm, "epsilon", 1e-5))
    return gain, offset - mean * gain


def yunet(model: onnx.ModelProto) -> onnx.ModelProto:
    """YuNet for any height and width that are multiples of 32, its boxes and keypoints decoded.

    The four heads of a feature map are computed as one, whose 16 channels fill a block of onnxruntime's
    layout.

    Raises ValueError if the model is another net.
    """
    constants, nodes = _unpacked(model)
    expected = [f"{head}_{stride}" for head in HEADS for stride in STRIDES]
    if [output.name for output in model.graph.output] != expected:
        raise ValueError("The outputs are not those of YuNet 2023mar.")
    # The published net reads BGR.
    kernel = nodes[0].input[1]
    constants[kernel] = constants[kernel][:, ::-1]
    graph, names = GraphBuilder(), {"": "", "input": "input"}
    for node in nodes:
        for name in node.input:
            if name not in names:
                names[name] = graph.constant(constants[name], constants[name].dtype.type)
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        names[node.output[0]] = graph.node(node.op_type, *(names[name] for name in node.input), **attributes)
    shape = graph.node("Shape", "input")
    sides = [graph.node("Gather", shape, graph.constant(axis, np.int64), axis=0) for axis in (2, 3)]
    makers = {node.output[0]: node for node in nodes}
    heads, corners = [], []
    for stride in STRIDES:
        layers = [_last_layers(makers, f"{head}_{stride}") for head in HEADS]
        (feature,) = {pointwise.input[0] for pointwise, _ in layers}
        heads.append(_joined(graph, names[feature], layers, constants, stride))
        corners.append(_corners(graph, sides, stride))
    boxes, scores, points = _decoded(
        graph, graph.node("Concat", *heads, axis=1), graph.node("Concat", *corners, axis=0)
    )
    return graph.build(
        "yunet",
        ("H", "W"),
        [
            Output(boxes, "boxes", ("N", "A", 4)),
            Output(scores, "scores", ("N", "A")),
            Output(points, "keypoints", ("N", "A", 5, 2)),
        ],
        f"YuNet 2023mar (MIT). RGB 0..255, height and width multiples of 32; boxes x1 y1 x2 y2 and keypoints "
        f"(eyes, nose, mouth corners, from left to right as seen) as shares of {CANVAS} px",
    )


def _last_layers(makers: Mapping[str, onnx.NodeProto], output: str) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """The pointwise and the depthwise convolution of the head that ends in `output`."""
    node = makers[output]
    while node.op_type != "Conv":
        node = makers[node.input[0]]
    return makers[node.input[0]], node


def _joined(
    graph: GraphBuilder,
    feature: str,
    layers: Sequence[tuple[onnx.NodeProto, onnx.NodeProto]],
    constants: Constants,
    stride: int,
) -> str:
    """The heads of one feature map next to each other, [N, cells, 16]: class and objectness; offsets of the
    centre and logarithms of half the sizes; offsets of the keypoints. The published ones count in cells; here
    offsets and sizes are shares of the canvas."""
    (pointwise, bias), (depthwise, shift) = (
        [np.concatenate([constants[node.input[index]] for node in nodes]) for index in (1, 2)]
        for nodes in zip(*layers, strict=True)
    )
    share = stride / CANVAS
    factor = np.full(len(shift), share)
    factor[CERTAIN], factor[SIZE] = 1, 1
    shift = shift * factor
    shift[SIZE] += math.log(share / 2)
    x = graph.conv(feature, pointwise.transpose(2, 3, 1, 0), bias)
    kernel = (depthwise * factor[:, None, None, None]).transpose(2, 3, 0, 1)
    x = graph.conv(x, kernel, shift, pads=(1, 1, 1, 1), depthwise=True)
    x = graph.node("Transpose", x, perm=[0, 2, 3, 1])
    return graph.node("Reshape", x, graph.constant([0, -1, len(bias)], np.int64))


def _corners(graph: GraphBuilder, sides: Sequence[str], stride: int) -> str:
    """The left top corner of each cell of a feature map, x and y as shares of the canvas: [cells, 2]."""
    height, width = (graph.node("Div", side, graph.constant(stride, np.int64)) for side in sides)
    begin, step, last = (graph.constant(value, np.int64) for value in (0, 1, [1]))
    cells = graph.node("Range", begin, graph.node("Mul", height, width), step)
    parts = [graph.node("Unsqueeze", graph.node(kind, cells, width), last) for kind in ("Mod", "Div")]
    corners = graph.node("Cast", graph.node("Concat", *parts, axis=1), to=onnx.TensorProto.FLOAT)
    return graph.node("Mul", corners, graph.constant(stride / CANVAS))


def _decoded(graph: GraphBuilder, heads: str, corners: str) -> tuple[str, str, str]:
    """Boxes, scores and keypoints of all cells, as libfacedetection decodes them: offsets from a cell's
    corner; the score is the geometric mean of class and objectness."""

    def columns(part: slice) -> str:
        bounds = [graph.constant([value], np.int64) for value in (part.start, part.stop, 2)]
        return graph.node("Slice", heads, *bounds)

    centre, half = graph.add(columns(CENTRE), corners), graph.node("Exp", columns(SIZE))
    boxes = graph.node("Concat", graph.node("Sub", centre, half), graph.add(centre, half), axis=2)
    certain = graph.node("Sigmoid", columns(CERTAIN))
    score = graph.node("ReduceProd", certain, axes=[2], keepdims=0)
    points = graph.add(columns(POINTS), graph.node("Concat", *[corners] * 5, axis=1))
    points = graph.node("Reshape", points, graph.constant([0, 0, 5, 2], np.int64))
    return boxes, graph.node("Sqrt", score), points


def _unpacked(model: onnx.ModelProto) -> tuple[Constants, list[onnx.NodeProto]]:
    """All constants, including those that the graph computes, and the nodes that depend on its input."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    renamed: dict[str, str] = {}
    for original in model.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
        values = [constants.get(name) for name in node.input]
        match node.op_type, values:
            case "Constant", _:
                constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            case "DequantizeLinear", [np.ndarray() as levels, np.ndarray() as scale, np.ndarray() as zero]:
                constants[node.output[0]] = _dequantised(node, levels, scale, zero)
            case "Reshape", [np.ndarray() as tensor, np.ndarray() as shape]:
                constants[node.output[0]] = tensor.reshape(shape)
            case "Dropout", _:
                renamed[node.output[0]] = node.input[0]
            case _:
                nodes.append(node)
    return constants, nodes


def _dequantised(
    node: onnx.NodeProto, levels: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any]
) -> NDArray[np.float32]:
    """DequantizeLinear with blocks along one axis (ONNX opset 21)."""
    axis, block = _attribute(node, "axis", 1), _attribute(node, "block_size", 0)

    def spread(values: NDArray[Any]) -> NDArray[np.float32]:
        repeated = np.repeat(values, block, axis).take(range(levels.shape[axis]), axis)
        return np.asarray(repeated, np.float32)

    return np.asarray((levels.astype(np.float32) - spread(zero)) * spread(scale), np.float32)


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return helper.get_node_attr_value(node, name) if any(a.name == name for a in node.attribute) else default
