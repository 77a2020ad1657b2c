"""ONNX graphs written node by node, and the compression of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

QUANTISE_FROM = 512
"""Tensors with fewer weights stay float32: they cost nothing."""


@dataclass(frozen=True)
class Output:
    """A tensor of the graph under its public name."""

    tensor: str
    name: str
    shape: tuple[str | int, ...]


class GraphBuilder:
    """Adds nodes one after the other; every method returns the name of the tensor it made. The input is
    `input`, RGB float32 [N, 3, H, W], 0..255."""

    producer = "semblance"

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._count = 0

    def constant(self, value: ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        name = f"w{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self._count += 1
        output = f"t{self._count}"
        self._nodes.append(
            helper.make_node(kind, list(inputs), [output], name=f"{kind}_{self._count}", **attributes)
        )
        return output

    def conv(
        self,
        x: str,
        weights: NDArray[Any],
        bias: NDArray[Any] | None = None,
        *,
        stride: int = 1,
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        depthwise: bool = False,
    ) -> str:
        """weights: HWIO, or HWC1 for a depthwise convolution."""
        groups = weights.shape[2] if depthwise else 1
        kernel = weights.transpose(2, 3, 0, 1) if depthwise else weights.transpose(3, 2, 0, 1)
        if depthwise:
            kernel = kernel.reshape(-1, 1, *kernel.shape[2:])
        inputs = [x, self.constant(kernel)]
        if bias is not None:
            inputs.append(self.constant(bias))
        return self.node(
            "Conv",
            *inputs,
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            pads=list(pads),
            group=groups,
            dilations=[1, 1],
        )

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def add(self, x: str, y: str) -> str:
        return self.node("Add", x, y)

    def build(
        self, name: str, sides: tuple[str | int, str | int], outputs: Sequence[Output], doc: str
    ) -> onnx.ModelProto:
        """The finished model, without nodes and constants that no output needs. sides: height and width of
        the input; a name if it is free."""
        nodes = self._nodes + [helper.make_node("Identity", [out.tensor], [out.name]) for out in outputs]
        needed = {out.name for out in outputs}
        kept: list[onnx.NodeProto] = []
        for node in reversed(nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        graph = helper.make_graph(
            kept[::-1],
            name,
            [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["N", 3, *sides])],
            [helper.make_tensor_value_info(out.name, onnx.TensorProto.FLOAT, out.shape) for out in outputs],
            [constant for constant in self._constants if constant.name in needed],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 13)], producer_name=self.producer
        )
        model.ir_version = 8
        model.doc_string = doc
        onnx.checker.check_model(model, full_check=True)
        return model


def quantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store large weights as uint8 with one scale and zero point per output channel."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    dequantise: list[onnx.NodeProto] = []
    for node in graph.node:
        name = node.input[1] if node.op_type in ("Conv", "Gemm", "MatMul") else ""
        if name not in constants:
            continue
        weights = numpy_helper.to_array(constants[name])
        if weights.size < QUANTISE_FROM:
            continue
        axis = 0 if node.op_type == "Conv" else 1
        graph.initializer.remove(constants.pop(name))
        stored = [f"{name}_q", f"{name}_s", f"{name}_z"]
        for tensor, part in zip(quantised(weights, axis), stored, strict=True):
            graph.initializer.append(numpy_helper.from_array(tensor, part))
        dequantise.append(helper.make_node("DequantizeLinear", stored, [name], name=f"DQ_{name}", axis=axis))
    nodes = [*dequantise, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def quantised(weights: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """uint8 values, float32 scales and uint8 zero points along `axis`; zero stays exactly zero."""
    others = tuple(index for index in range(weights.ndim) if index != axis)
    low, high = np.minimum(weights.min(others), 0), np.maximum(weights.max(others), 0)
    scale = ((high - low) / 255).astype(np.float32)
    scale[scale == 0] = 1e-8
    zero = np.clip(np.round(-low / scale), 0, 255).astype(np.uint8)
    shape = [-1 if index == axis else 1 for index in range(weights.ndim)]
    values = np.round(weights / scale.reshape(shape)) + zero.reshape(shape)
    return np.clip(values, 0, 255).astype(np.uint8), scale, zero
