"""Convert the face nets of the npm package @vladmandic/face-api 1.7.15 (MIT) to the open pack's ONNX files.

    npm pack @vladmandic/face-api@1.7.15
    python tools/convert_open_pack.py vladmandic-face-api-1.7.15.tgz build/open

The package stores TensorFlow.js weights without graphs: the layers below follow the package's own
network code. Weights are kept as uint8 with one scale and zero point per output channel and are
dequantised in the graph, so that the nets compute in float32. All nets take RGB float32 [N, 3, S, S],
0..255. Every file is compared with the digest in the open pack's manifest.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

from deployments.packs.manifest import file_sha256, read_manifest
from deployments.packs.pack import OPEN_FOLDER
from tools.trim_detector import trim

Weights = dict[str, NDArray[Any]]

PIXEL_MEAN = (122.782, 117.001, 104.298)
"""RGB mean that the package subtracts before dividing by 255 (its `normalize`)."""

BATCH_NORM_EPSILON = 0.0010000000474974513
"""Epsilon of the detector's batch normalisation, as the package spells it (.001 in float32)."""

QUANTISE_FROM = 512
"""Tensors with fewer weights stay float32: they cost nothing."""


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


@dataclass(frozen=True)
class Output:
    """A tensor of the graph under its public name."""

    tensor: str
    name: str
    shape: tuple[str | int, ...]


class GraphBuilder:
    """Adds nodes one after the other; every method returns the name of the tensor it made."""

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

    def relu6(self, x: str) -> str:
        return self.node("Clip", x, self.constant(0.0), self.constant(6.0))

    def add(self, x: str, y: str) -> str:
        return self.node("Add", x, y)

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

    def build(self, name: str, side: int, outputs: Sequence[Output], doc: str) -> onnx.ModelProto:
        """The finished model, without nodes and constants that no output needs."""
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
            [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["N", 3, side, side])],
            [helper.make_tensor_value_info(out.name, onnx.TensorProto.FLOAT, out.shape) for out in outputs],
            [constant for constant in self._constants if constant.name in needed],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="tfjs2onnx"
        )
        model.ir_version = 8
        model.doc_string = doc
        onnx.checker.check_model(model, full_check=True)
        return model


def _dense_backbone(graph: GraphBuilder, weights: Weights) -> str:
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
    weights, graph = read_weights(folder, "face_landmark_68_model"), GraphBuilder()
    x = graph.dense(_dense_backbone(graph, weights), weights, "fc")
    x = graph.node("Reshape", x, graph.constant([-1, 68, 2], np.int64))
    return graph.build(
        "face_landmark_68",
        112,
        [Output(x, "landmarks", ("N", 68, 2))],
        "RGB 0..255, square face crop (zero padded, centred) 112x112; output xy relative to the 112 square",
    )


def expression(folder: Path) -> onnx.ModelProto:
    weights, graph = read_weights(folder, "face_expression_model"), GraphBuilder()
    x = graph.dense(_dense_backbone(graph, weights), weights, "fc")
    x = graph.node("Softmax", x, axis=1)
    return graph.build(
        "face_expression",
        112,
        [Output(x, "probs", ("N", 7))],
        "neutral,happy,sad,angry,fearful,disgusted,surprised",
    )


def _reduction(
    graph: GraphBuilder, x: str, weights: Weights, block: str, size: int, *, activate: bool = True
) -> tuple[str, int]:
    """Xception's strided block: two separable convolutions and a pool, beside a strided 1x1."""
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
    weights, graph = read_weights(folder, "age_gender_model"), GraphBuilder()
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
        112,
        [Output(age, "age", ("N", 1)), Output(gender, "gender", ("N", 2))],
        "gender = [p(male), p(female)]",
    )


RESIDUAL_BLOCKS = (
    *("32_1", "32_2", "32_3", "64_down", "64_1", "64_2", "64_3"),
    *("128_down", "128_1", "128_2", "256_down", "256_1", "256_2", "256_down_out"),
)
"""Blocks of the recognition net in order; the number is the channel count, `down` halves the side."""


def recognition(folder: Path) -> onnx.ModelProto:
    """dlib's ResNet-34: convolution, per-channel scale and shift, ReLU; [N, 128], not normalised."""
    weights, graph = read_weights(folder, "face_recognition_model"), GraphBuilder()

    def conv(x: str, layer: str, stride: int = 1, pad: int = 1) -> str:
        scale, shift = weights[f"{layer}/scale/weights"], weights[f"{layer}/scale/biases"]
        kernel, bias = weights[f"{layer}/conv/filters"], weights[f"{layer}/conv/bias"]
        return graph.conv(x, kernel * scale, bias * scale + shift, stride=stride, pads=(pad,) * 4)

    def pad(x: str, axis_ends: Sequence[int]) -> str:
        """Zeros after the end of each axis (N, C, H, W)."""
        return graph.node("Pad", x, graph.constant([0, 0, 0, 0, *axis_ends], np.int64))

    x = graph.relu(conv(graph.normalised_input(), "conv32_down", stride=2, pad=0))
    x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    size, channels = 35, 32
    for block in RESIDUAL_BLOCKS:
        layer = f"conv{block}"
        if "down" not in block:
            branch = conv(graph.relu(conv(x, f"{layer}/conv1")), f"{layer}/conv2")
            x = graph.relu(graph.add(branch, x))
            continue
        width = int(block.split("_")[0])
        branch = conv(graph.relu(conv(x, f"{layer}/conv1", stride=2, pad=0)), f"{layer}/conv2")
        shortcut = graph.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        branch_size, size = (size - 3) // 2 + 1, size // 2
        if branch_size != size:
            branch = pad(branch, (0, 0, size - branch_size, size - branch_size))
        if width != channels:
            shortcut = pad(shortcut, (0, width - channels, 0, 0))
        x = graph.relu(graph.add(shortcut, branch))
        channels = width
    x = graph.node("Flatten", graph.node("GlobalAveragePool", x), axis=1)
    x = graph.node("MatMul", x, graph.constant(weights["fc"]))
    return graph.build(
        "face_recognition_128",
        150,
        [Output(x, "embedding", ("N", 128))],
        "dlib ResNet-34-ish; not normalised; euclid 0.6",
    )


def detector(folder: Path) -> onnx.ModelProto:
    """SSD on MobileNet v1, 512 px: decoded boxes x1 y1 x2 y2 relative to the square, and scores."""
    weights, graph = read_weights(folder, "ssd_mobilenetv1_model"), GraphBuilder()
    x = graph.node("Div", "input", graph.constant(127.5))
    x = graph.node("Sub", x, graph.constant(1.0))
    features = _mobilenet_features(graph, weights, x)
    boxes: list[str] = []
    classes: list[str] = []
    for index, (feature, size) in enumerate(features):
        anchors = size * size * (3 if index == 0 else 6)
        for heads, head, width in ((boxes, "BoxEncodingPredictor", 4), (classes, "ClassPredictor", 3)):
            layer = f"Prediction/BoxPredictor_{index}/{head}"
            x = graph.conv(feature, weights[f"{layer}/weights"], weights[f"{layer}/biases"])
            x = graph.node("Transpose", x, perm=[0, 2, 3, 1])
            heads.append(graph.node("Reshape", x, graph.constant([0, anchors, width], np.int64)))
    encoded, logits = graph.node("Concat", *boxes, axis=1), graph.node("Concat", *classes, axis=1)
    anchors = weights["Output/extra_dim"][0]
    decoded = _decode_boxes(graph, encoded, anchors)
    face = graph.node("Gather", logits, graph.constant(1, np.int64), axis=2)
    return graph.build(
        "ssd_mobilenetv1",
        512,
        [
            Output(decoded, "boxes", ("N", len(anchors), 4)),
            Output(graph.node("Sigmoid", face), "scores", ("N", len(anchors))),
        ],
        "RGB 0..255, resized keeping aspect, zero padded right/bottom to 512; boxes x1y1x2y2 relative to the "
        "padded square; NMS iou 0.5",
    )


def _mobilenet_features(graph: GraphBuilder, weights: Weights, x: str) -> list[tuple[str, int]]:
    """The six feature maps that boxes are predicted from, each with its side."""

    def convolution(x: str, prefix: str, index: int, size: int, stride: int = 1) -> tuple[str, int]:
        layer = f"{prefix}/Conv2d_{index}_pointwise"
        kernel = weights[f"{layer}/weights"]
        out, pads = same_padding(size, kernel.shape[0], stride)
        x = graph.conv(x, kernel, weights[f"{layer}/convolution_bn_offset"], stride=stride, pads=pads)
        return graph.relu6(x), out

    def depthwise(x: str, index: int, size: int, stride: int) -> tuple[str, int]:
        layer = f"MobilenetV1/Conv2d_{index}_depthwise"
        norm = f"{layer}/BatchNorm"
        gain = weights[f"{norm}/gamma"] / np.sqrt(weights[f"{norm}/moving_variance"] + BATCH_NORM_EPSILON)
        kernel = weights[f"{layer}/depthwise_weights"] * gain[None, None, :, None]
        bias = weights[f"{norm}/beta"] - weights[f"{norm}/moving_mean"] * gain
        out, pads = same_padding(size, 3, stride)
        return graph.relu6(graph.conv(x, kernel, bias, stride=stride, pads=pads, depthwise=True)), out

    features = []
    x, size = convolution(x, "MobilenetV1", 0, 512, 2)
    for index in range(1, 14):
        x, size = depthwise(x, index, size, 2 if index in (2, 4, 6, 12) else 1)
        x, size = convolution(x, "MobilenetV1", index, size)
        if index in (11, 13):
            features.append((x, size))
    for index in range(8):
        x, size = convolution(x, "Prediction", index, size, 1 + index % 2)
        if index % 2:
            features.append((x, size))
    return features


def _decode_boxes(graph: GraphBuilder, encoded: str, anchors: NDArray[Any]) -> str:
    """TensorFlow's box coder: offsets in tenths of the anchor, log sizes in fifths; to x1 y1 x2 y2."""
    sides = anchors[:, 2:] - anchors[:, :2]
    centres = anchors[:, :2] + sides / 2

    def columns(start: int) -> str:
        bounds = [graph.constant([value], np.int64) for value in (start, start + 2, 2)]
        return graph.node("Slice", encoded, *bounds)

    offset, log_size = columns(0), columns(2)
    offset = graph.node("Mul", offset, graph.constant(sides[None] / 10))
    centre = graph.add(offset, graph.constant(centres[None]))
    size = graph.node("Exp", graph.node("Div", log_size, graph.constant(5.0)))
    half = graph.node("Mul", size, graph.constant(sides[None] / 2))
    corners = graph.node("Concat", graph.node("Sub", centre, half), graph.add(centre, half), axis=2)
    return graph.node("Gather", corners, graph.constant([1, 0, 3, 2], np.int64), axis=2)


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
        for tensor, part in zip(_quantised(weights, axis), stored, strict=True):
            graph.initializer.append(numpy_helper.from_array(tensor, part))
        dequantise.append(helper.make_node("DequantizeLinear", stored, [name], name=f"DQ_{name}", axis=axis))
    nodes = [*dequantise, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def _quantised(weights: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """uint8 values, float32 scales and uint8 zero points along `axis`; zero stays exactly zero."""
    others = tuple(index for index in range(weights.ndim) if index != axis)
    low, high = np.minimum(weights.min(others), 0), np.maximum(weights.max(others), 0)
    scale = ((high - low) / 255).astype(np.float32)
    scale[scale == 0] = 1e-8
    zero = np.clip(np.round(-low / scale), 0, 255).astype(np.uint8)
    shape = [-1 if index == axis else 1 for index in range(weights.ndim)]
    values = np.round(weights / scale.reshape(shape)) + zero.reshape(shape)
    return np.clip(values, 0, 255).astype(np.uint8), scale, zero


NETS: dict[str, Callable[[Path], onnx.ModelProto]] = {
    "ssd_mobilenetv1_trim_u8.onnx": detector,
    "face_landmark_68_u8.onnx": landmarks,
    "face_expression_u8.onnx": expression,
    "age_gender_u8.onnx": age_gender,
    "face_recognition_128_u8.onnx": recognition,
}


def convert(package: Path, out: Path) -> dict[str, str]:
    """Write all nets of the unpacked package into `out`; returns the SHA-256 of each file."""
    out.mkdir(parents=True, exist_ok=True)
    digests = {}
    for name, build in NETS.items():
        model = quantise(build(package / "model"))
        onnx.save(trim(model) if build is detector else model, out / name)
        digests[name] = file_sha256(out / name)
    return digests


def main(
    package: Annotated[Path, typer.Argument(exists=True, help="The package: its .tgz, or its folder.")],
    out: Annotated[Path, typer.Argument(help="Folder for the ONNX files.")],
) -> None:
    """Convert the package's nets and compare them with the digests in the open pack's manifest."""
    with tempfile.TemporaryDirectory() as folder:
        if package.is_file():
            with tarfile.open(package) as archive:
                archive.extractall(folder, filter="data")
            package = Path(folder) / "package"
        digests = convert(package, out)
    expected = read_manifest(OPEN_FOLDER).sha256
    for name, digest in digests.items():
        verdict = "as in the manifest" if digest == expected[name] else f"manifest says {expected[name]}"
        typer.echo(f"{name}  {digest}  {verdict}")
    if any(digest != expected[name] for name, digest in digests.items()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
