"""The open pack's nets from the npm package @vladmandic/face-api 1.7.15 (MIT).

The package stores TensorFlow.js weights without graphs: the layers below follow the package's own network
code. All nets take RGB float32 [N, 3, 112, 112], 0..255.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tools.graph_builder import GraphBuilder, Output

Weights = dict[str, NDArray[Any]]

PIXEL_MEAN = (122.782, 117.001, 104.298)
"""RGB mean that the package subtracts before dividing by 255 (its `normalize`)."""


def read_weights(folder: Path, name: str) -> Weights:
    """The tensors of one net, dequantised to float32, in TensorFlow's layout (HWIO)."""
    groups = json.loads((folder / f"{name}-weights_manifest.json").read_text())
    weights: Weights = {}
    for group in groups:
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        offset = 0
        for entry in group["weights"]:
            tensor, offset = _read_tensor(data, offset, entry)
            weights[entry["name"]] = tensor
        if offset != len(data):
            raise ValueError(f"{name}: {len(data) - offset} bytes of weights are left over")
    return weights


def _read_tensor(data: bytes, offset: int, entry: dict[str, Any]) -> tuple[NDArray[Any], int]:
    quantisation = entry.get("quantization")
    stored = np.dtype(quantisation["dtype"] if quantisation else entry["dtype"])
    count = int(np.prod(entry["shape"], dtype=np.int64))
    tensor = np.frombuffer(data, stored, count, offset).reshape(entry["shape"])
    if quantisation:
        scale, low = np.float32(quantisation["scale"]), np.float32(quantisation["min"])
        tensor = tensor.astype(np.float32) * scale + low
        if entry["dtype"] == "int32":
            tensor = np.round(tensor).astype(np.int32)
    return tensor, offset + count * stored.itemsize


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, tuple[int, int, int, int]]:
    """TensorFlow's SAME: output size, and padding as ONNX wants it (top, left, bottom, right)."""
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    before, after = total // 2, total - total // 2
    return out, (before, before, after, after)


class FaceApiGraph(GraphBuilder):
    """Builds a graph with the layers that the package's nets share."""

    producer = "tfjs2onnx"

    def normalised_input(self) -> str:
        """(pixel - mean) / 255."""
        mean = self.constant(np.array(PIXEL_MEAN, np.float32).reshape(1, 3, 1, 1))
        return self.node("Div", self.node("Sub", "input", mean), self.constant(255.0))

    def dense(self, x: str, weights: Weights, layer: str) -> str:
        return self.node(
            "Gemm", x, self.constant(weights[f"{layer}/weights"]), self.constant(weights[f"{layer}/bias"])
        )

    def pool_to_vector(self, x: str, size: int) -> str:
        pooled = self.node("AveragePool", x, kernel_shape=[size, size], strides=[2, 2])
        return self.node("Flatten", pooled, axis=1)

    def separable(self, x: str, weights: Weights, layer: str, size: int, stride: int = 1) -> tuple[str, int]:
        """Depthwise 3x3, then pointwise convolution; also returns the output's side."""
        out, pads = same_padding(size, 3, stride)
        x = self.conv(x, weights[f"{layer}/depthwise_filter"], stride=stride, pads=pads, depthwise=True)
        return self.conv(x, weights[f"{layer}/pointwise_filter"], weights[f"{layer}/bias"]), out


def _dense_backbone(graph: FaceApiGraph, weights: Weights) -> str:
    """Four dense blocks of four convolutions on 112 px, shared by landmarks and expression: [N, 256]."""
    x, size = graph.normalised_input(), 112
    for block in range(4):
        layer = f"dense{block}"
        if block == 0:
            size, pads = same_padding(size, 3, 2)
            first = graph.conv(
                x, weights[f"{layer}/conv0/filters"], weights[f"{layer}/conv0/bias"], stride=2, pads=pads
            )
        else:
            first, size = graph.separable(x, weights, f"{layer}/conv0", size, 2)
        total = graph.relu(first)
        for index in range(1, 4):
            branch_input = total if index == 1 else graph.relu(total)
            branch, _ = graph.separable(branch_input, weights, f"{layer}/conv{index}", size)
            total = graph.add(total, branch)
        x = graph.relu(total)
    return graph.pool_to_vector(x, size)


def landmarks(folder: Path) -> onnx.ModelProto:
    weights, graph = read_weights(folder, "face_landmark_68_model"), FaceApiGraph()
    x = graph.dense(_dense_backbone(graph, weights), weights, "fc")
    x = graph.node("Reshape", x, graph.constant([-1, 68, 2], np.int64))
    return graph.build(
        "face_landmark_68",
        (112, 112),
        [Output(x, "landmarks", ("N", 68, 2))],
        "RGB 0..255, square face crop (zero padded, centred) 112x112; output xy relative to the 112 square",
    )


def expression(folder: Path) -> onnx.ModelProto:
    weights, graph = read_weights(folder, "face_expression_model"), FaceApiGraph()
    x = graph.dense(_dense_backbone(graph, weights), weights, "fc")
    x = graph.node("Softmax", x, axis=1)
    return graph.build(
        "face_expression",
        (112, 112),
        [Output(x, "probs", ("N", 7))],
        "neutral,happy,sad,angry,fearful,disgusted,surprised",
    )


def _reduction(
    graph: FaceApiGraph, x: str, weights: Weights, block: str, size: int, *, activate: bool = True
) -> tuple[str, int]:
    """Xception's strided block: two separable convolutions and a pool, in parallel with a strided 1x1."""
    branch = graph.relu(x) if activate else x
    branch, _ = graph.separable(branch, weights, f"{block}/separable_conv0", size)
    branch, _ = graph.separable(graph.relu(branch), weights, f"{block}/separable_conv1", size)
    out, pads = same_padding(size, 3, 2)
    branch = graph.node("MaxPool", branch, kernel_shape=[3, 3], strides=[2, 2], pads=list(pads))
    shortcut = graph.conv(
        x,
        weights[f"{block}/expansion_conv/filters"],
        weights[f"{block}/expansion_conv/bias"],
        stride=2,
        pads=same_padding(size, 1, 2)[1],
    )
    return graph.add(branch, shortcut), out


def age_gender(folder: Path) -> onnx.ModelProto:
    """A small Xception with two heads."""
    weights, graph = read_weights(folder, "age_gender_model"), FaceApiGraph()
    x = graph.normalised_input()
    size, pads = same_padding(112, 3, 2)
    stem = "entry_flow/conv_in"
    x = graph.relu(graph.conv(x, weights[f"{stem}/filters"], weights[f"{stem}/bias"], stride=2, pads=pads))
    x, size = _reduction(graph, x, weights, "entry_flow/reduction_block_0", size, activate=False)
    x, size = _reduction(graph, x, weights, "entry_flow/reduction_block_1", size)
    for block in range(2):
        branch = x
        for index in range(3):
            layer = f"middle_flow/main_block_{block}/separable_conv{index}"
            branch, _ = graph.separable(graph.relu(branch), weights, layer, size)
        x = graph.add(branch, x)
    x, size = _reduction(graph, x, weights, "exit_flow/reduction_block", size)
    x, _ = graph.separable(x, weights, "exit_flow/separable_conv", size)
    x = graph.pool_to_vector(graph.relu(x), size)
    age = graph.dense(x, weights, "fc/age")
    gender = graph.node("Softmax", graph.dense(x, weights, "fc/gender"), axis=1)
    return graph.build(
        "age_gender",
        (112, 112),
        [Output(age, "age", ("N", 1)), Output(gender, "gender", ("N", 2))],
        "gender = [p(male), p(female)]",
    )
