"""Make the 8-bit integer twin of the trimmed detector.

Activations behind a ReLU6 fill 0..6, so an unsigned byte with the step 6/255 holds them and its saturation is
the ReLU6. Weights become signed bytes per output channel, which is where plain rounding loses faces; they are
rounded here so that the layer's output on photos changes least: pointwise weights as in GPTQ (Frantar et al.,
2023, arXiv:2210.17323), the nine of a depthwise kernel by trying scales and neighbouring integers.
The first convolution, the predictors and the boxes stay float.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import onnx
import onnxruntime
import typer
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tools.trim_detector import CANVAS, STRIDE

Floats = NDArray[np.float64]

STEP = np.float32(6 / 255)
"""One step of a quantised activation."""

LOWEST, HIGHEST = -128, 127

DAMPING = 0.003
"""Added to the diagonal of a correlation, as a share of its mean: less overfits the calibration photos."""

BLOCK = 64
"""Columns rounded before the error is carried to all later ones at once."""

MAX_BIAS = 2.0**28
"""Largest quantised bias. A channel whose weights vanish beside its bias needs a coarser scale for the bias
to fit an int32; clamping it would silence the channel."""

DEAD = 1e-5
"""Largest weight of a depthwise channel that counts as switched off."""

SAMPLES = 64
"""Rows and columns of a feature map that are sampled for its correlation, at most."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution with its ReLU6. weights: float32 [O, I / groups, k, k]."""

    node: onnx.NodeProto
    clip: onnx.NodeProto
    weights: NDArray[np.float32]
    bias: Floats
    stride: int

    @property
    def depthwise(self) -> bool:
        return bool(self.weights.shape[1] == 1)

    @property
    def pointwise(self) -> bool:
        return bool(self.weights.shape[2] == 1)


def quantize(model: onnx.ModelProto, photos: Sequence[NDArray[np.uint8]]) -> onnx.ModelProto:
    """The integer twin, with the inputs and outputs of `model`. photos: uint8 RGB [H, W, 3], with faces."""
    layers = _layers(model)
    correlations = _correlations(model, layers, photos)
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    replaced = {layer.node.name: layer for layer in layers}
    clips = {layer.clip.name for layer in layers}
    made = {layer.clip.output[0] for layer in layers}
    nodes: list[onnx.NodeProto] = []
    graph.initializer.extend([_tensor("step", STEP), _tensor("origin", np.uint8(0))])
    entered: set[str] = set()
    left: set[str] = set()
    for node in model.graph.node:
        if node.name in clips:
            continue
        layer = replaced.get(node.name)
        if layer is None:
            twin = onnx.NodeProto()
            twin.CopyFrom(node)
            for name in node.input:
                if name in made and name not in left:
                    left.add(name)
                    nodes.append(_node("DequantizeLinear", [f"{name}_q", "step", "origin"], name))
            nodes.append(twin)
            continue
        source = layer.node.input[0]
        if source not in made and source not in entered:
            entered.add(source)
            nodes.append(_node("QuantizeLinear", [source, "step", "origin"], f"{source}_q"))
        scale, integers = _round(layer, correlations.get(layer.node.name))
        nodes.append(_convolution(graph, layer, scale, integers))
    _replace(graph, nodes)
    onnx.checker.check_model(quantized)
    return quantized


def _layers(model: onnx.ModelProto) -> list[Layer]:
    """The convolutions with a ReLU6, without the first, whose input is the image."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weights = dict(constants)  # one small layer is not compressed
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            levels, scale, zero = (constants[name] for name in node.input)
            shape = (-1, *(1,) * (levels.ndim - 1))
            centred = levels.astype(np.float32) - zero.astype(np.float32).reshape(shape)
            weights[node.output[0]] = centred * scale.reshape(shape)
    clips = {node.input[0]: node for node in model.graph.node if node.op_type == "Clip"}
    found = [
        Layer(
            node=node,
            clip=clips[node.output[0]],
            weights=weights[node.input[1]],
            bias=constants[node.input[2]].astype(np.float64),
            stride=helper.get_node_attr_value(node, "strides")[0],
        )
        for node in model.graph.node
        if node.op_type == "Conv" and node.output[0] in clips
    ]
    return found[1:]


def _correlations(
    model: onnx.ModelProto, layers: Sequence[Layer], photos: Sequence[NDArray[np.uint8]]
) -> dict[str, Floats]:
    """Mean products of a layer's inputs over the photos: [I, I] of a pointwise layer, [C, 9, 9] of a
    depthwise one. The few other layers are small and have none."""
    wanted = [layer for layer in layers if layer.pointwise or layer.depthwise]
    names = sorted({layer.node.input[0] for layer in wanted})
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )
    total: dict[str, Floats] = {}
    for photo in photos:
        maps = dict(zip(names, session.run(names, {model.graph.input[0].name: _canvas(photo)}), strict=True))
        for layer in wanted:
            values = maps[layer.node.input[0]][0].astype(np.float64)
            found = _products_of_patches(values, layer.stride) if layer.depthwise else _products(values)
            total[layer.node.name] = total.get(layer.node.name, 0.0) + found / len(photos)
    return total


def _canvas(photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 [1, 3, H, W]: the long side brought to CANVAS, black up to multiples of STRIDE."""
    height, width = photo.shape[:2]
    scale = CANVAS / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    fitted = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    below, beside = (-side % STRIDE for side in fitted.shape[:2])
    padded = np.pad(fitted, ((0, below), (0, beside), (0, 0)))
    return np.ascontiguousarray(padded.transpose(2, 0, 1)[None], np.float32)


def _products(values: Floats) -> Floats:
    every = max(1, values.shape[1] // SAMPLES)
    flat = values[:, ::every, ::every].reshape(len(values), -1)
    return np.asarray(flat @ flat.T / flat.shape[1])


def _products_of_patches(values: Floats, stride: int) -> Floats:
    height, width = values.shape[1] - 2, values.shape[2] - 2
    every = max(1, height // SAMPLES) * stride
    patches = np.stack(
        [
            values[:, y : y + height : every, x : x + width : every].reshape(len(values), -1)
            for y in range(3)
            for x in range(3)
        ],
        axis=1,
    )
    return np.asarray(patches @ patches.transpose(0, 2, 1) / patches.shape[2])


def _round(layer: Layer, correlation: Floats | None) -> tuple[Floats, Floats]:
    """Scale per output channel, and integers in the shape of the weights."""
    weights = layer.weights.reshape(len(layer.weights), -1).astype(np.float64)
    if correlation is None:
        scale = np.maximum(np.abs(weights).max(axis=1) / HIGHEST, 1e-9)
        integers = np.rint(weights / scale[:, None])
    elif layer.depthwise:
        pairs = [_round_kernel(*channel) for channel in zip(weights, correlation, strict=True)]
        scale, integers = np.array([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])
    else:
        scale, integers = _round_pointwise(weights, correlation)
    return scale, integers.reshape(layer.weights.shape)


def _round_pointwise(weights: Floats, correlation: Floats) -> tuple[Floats, Floats]:
    """GPTQ: input by input, in order of energy, each rounding error carried to the inputs still to come."""
    energy = np.diag(correlation)
    scale = _best_scale(weights, energy)
    order = np.argsort(-energy, kind="stable")
    damped = correlation + DAMPING * energy.mean() * np.eye(len(energy))
    factor = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    rest = weights[:, order]
    rounded = np.empty_like(rest)
    for start in range(0, rest.shape[1], BLOCK):
        stop = min(start + BLOCK, rest.shape[1])
        errors = np.empty((len(rest), stop - start))
        for column in range(start, stop):
            rounded[:, column] = np.clip(np.rint(rest[:, column] / scale), LOWEST, HIGHEST)
            error = (rest[:, column] - rounded[:, column] * scale) / factor[column, column]
            errors[:, column - start] = error
            rest[:, column + 1 : stop] -= np.outer(error, factor[column, column + 1 : stop])
        rest[:, stop:] -= errors @ factor[start:stop, stop:]
    integers = np.empty_like(rounded)
    integers[:, order] = rounded
    return scale, integers


def _best_scale(weights: Floats, energy: Floats) -> Floats:
    """Per row, of thirteen scales about the largest weight the one with the least error by energy."""
    full = np.maximum(np.abs(weights).max(axis=1) / HIGHEST, 1e-9)
    scales = full * np.linspace(0.9, 1.08, 13)[:, None]
    costs = [
        np.square(np.clip(np.rint(weights / scale[:, None]), LOWEST, HIGHEST) * scale[:, None] - weights)
        @ energy
        for scale in scales
    ]
    return np.asarray(scales[np.argmin(costs, axis=0), np.arange(len(weights))])


def _round_kernel(kernel: Floats, correlation: Floats) -> tuple[float, Floats]:
    """Scale and nine integers whose output error is least: from the twelve best of many scales, single
    steps of single weights as long as they help."""
    largest = np.abs(kernel).max()
    if largest < DEAD:
        return 1e-7, np.zeros_like(kernel)
    scales = largest / np.arange(20, 254.01, 0.25)
    starts = np.clip(np.rint(kernel / scales[:, None]), LOWEST, HIGHEST)
    errors = starts * scales[:, None] - kernel
    costs = np.einsum("ni,ij,nj->n", errors, correlation, errors)
    steps = np.concatenate([np.eye(kernel.size), -np.eye(kernel.size)])
    best = (np.inf, 0.0, kernel)
    for index in np.argsort(costs, kind="stable")[:12]:
        integers, cost = starts[index], costs[index]
        while True:
            tried = np.clip(integers + steps, LOWEST, HIGHEST)
            errors = tried * scales[index] - kernel
            tried_costs = np.einsum("ni,ij,nj->n", errors, correlation, errors)
            chosen = int(tried_costs.argmin())
            if tried_costs[chosen] >= cost * (1 - 1e-9):
                break
            integers, cost = tried[chosen], tried_costs[chosen]
        if cost < best[0]:
            best = (cost, float(scales[index]), integers)
    return best[1], best[2]


def _convolution(graph: onnx.GraphProto, layer: Layer, scale: Floats, integers: Floats) -> onnx.NodeProto:
    least = np.abs(layer.bias) / (float(STEP) * MAX_BIAS)
    fitting = np.maximum(np.maximum(scale, least), 1e-9).astype(np.float32)
    integers = np.rint(integers * (scale / fitting).reshape(-1, 1, 1, 1))
    bias = np.rint(layer.bias / (float(STEP) * fitting))
    name = layer.node.output[0]
    constants: dict[str, NDArray[Any]] = {
        "weights": integers.astype(np.int8),
        "scale": fitting,
        "zero": np.zeros(len(fitting), np.int8),
        "bias": bias.astype(np.int32),
    }
    graph.initializer.extend(_tensor(f"{name}_{role}", value) for role, value in constants.items())
    weights, scales, zero, biases = (f"{name}_{role}" for role in constants)
    attributes: dict[str, Any] = {
        attribute.name: helper.get_attribute_value(attribute) for attribute in layer.node.attribute
    }
    activation = ["step", "origin"]
    return helper.make_node(
        "QLinearConv",
        [f"{layer.node.input[0]}_q", *activation, weights, scales, zero, *activation, biases],
        [f"{layer.clip.output[0]}_q"],
        name=layer.node.name,
        **attributes,
    )


def _node(kind: str, inputs: list[str], output: str) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"{kind}_{output}")


def _tensor(name: str, value: np.generic | NDArray[Any]) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def _replace(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Put the nodes into the graph, without those, and without the constants, that no output needs."""
    needed = {output.name for output in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:]
    del graph.initializer[:]
    del graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(constants)


def main(
    source: Annotated[Path, typer.Argument(help="The trimmed detector, ONNX.", exists=True)],
    target: Annotated[Path, typer.Argument(help="Where to write its integer twin.")],
    photos: Annotated[list[Path], typer.Argument(help="Photos with faces to calibrate on.", exists=True)],
) -> None:
    """Make the 8-bit integer twin of the trimmed detector."""
    images = []
    for path in photos:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise typer.BadParameter(f"OpenCV cannot read {path} as a photo.")
        # With its mirror image, so that left and right count alike.
        images += [image.astype(np.uint8, copy=False), np.ascontiguousarray(image[:, ::-1], np.uint8)]
    onnx.save(quantize(onnx.load(source), images), target)


if __name__ == "__main__":
    typer.run(main)
