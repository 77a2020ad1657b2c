"""The rebuilt nets give what the published graphs give, on small graphs of the same layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tools.opencv_zoo import CANVAS, SFACE_LAYERS, STRIDES, sface, yunet

CHANNELS = 4
HEADS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int],
    name: str,
    outputs: Mapping[str, Sequence[int | str]],
    constants: Mapping[str, NDArray[Any]],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(key, onnx.TensorProto.FLOAT, size) for key, size in outputs.items()],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def run(net: onnx.ModelProto, images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(net.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: list[NDArray[np.float32]] = session.run(None, {session.get_inputs()[0].name: images})
    return outputs


def published_sface(layers: int = SFACE_LAYERS) -> onnx.ModelProto:
    """SFace with few channels: every kind of layer, block-quantised weights, slopes below 0 and above 1."""
    rng = np.random.default_rng(5)
    constants: dict[str, NDArray[Any]] = {
        "mean": np.array([127.5], np.float32),
        "scale": np.array([1 / 128], np.float32),
        "off": np.array(False),
    }
    nodes = [
        helper.make_node("Sub", ["data", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["x0"]),
    ]

    def normalise(x: str, y: str, channels: int) -> None:
        names = [f"{y}_{part}" for part in ("gamma", "beta", "mean", "var")]
        for name, low, high in zip(names, (0.5, -0.5, -0.5, 0.5), (1.5, 0.5, 0.5, 1.5), strict=True):
            constants[name] = rng.uniform(low, high, channels).astype(np.float32)
        nodes.append(helper.make_node("BatchNormalization", [x, *names], [y], epsilon=1e-3))

    def weights(name: str, shape: tuple[int, ...], block: int) -> str:
        flat = (shape[0], int(np.prod(shape[1:])))
        blocks = (flat[0], -(-flat[1] // block))
        constants[f"{name}_q"] = rng.integers(-127, 128, flat, np.int8)
        constants[f"{name}_s"] = rng.uniform(0.002, 0.006, blocks).astype(np.float32)
        constants[f"{name}_z"] = rng.integers(-5, 6, blocks, np.int8)
        constants[f"{name}_shape"] = np.array(shape, np.int64)
        stored = [f"{name}_q", f"{name}_s", f"{name}_z"]
        nodes.append(helper.make_node("DequantizeLinear", stored, [f"{name}_d"], axis=1, block_size=block))
        nodes.append(helper.make_node("Reshape", [f"{name}_d", f"{name}_shape"], [name]))
        return name

    for layer in range(layers):
        depthwise = layer % 2 == 1
        kernel = weights(f"w{layer}", (CHANNELS, 1 if depthwise else (CHANNELS if layer else 3), 3, 3), 8)
        nodes.append(
            helper.make_node(
                "Conv",
                [f"x{layer}", kernel],
                [f"c{layer}"],
                kernel_shape=[3, 3],
                strides=[2 if layer < 4 else 1] * 2,
                pads=[1] * 4,
                group=CHANNELS if depthwise else 1,
            )
        )
        normalise(f"c{layer}", f"n{layer}", CHANNELS)
        constants[f"slope{layer}"] = rng.uniform(-0.5, 1.5, (CHANNELS, 1, 1)).astype(np.float32)
        nodes.append(helper.make_node("PRelu", [f"n{layer}", f"slope{layer}"], [f"x{layer + 1}"]))
    normalise(f"x{layers}", "last", CHANNELS)
    nodes.append(helper.make_node("Dropout", ["last", "", "off"], ["kept"]))
    nodes.append(helper.make_node("Flatten", ["kept"], ["flat"]))
    constants["bias"] = rng.normal(0, 1, 6).astype(np.float32)
    nodes.append(
        helper.make_node(
            "Gemm", ["flat", weights("fc", (6, CHANNELS * 49), 64), "bias"], ["vector"], transB=1
        )
    )
    normalise("vector", "fc1", 6)
    return model(nodes, [1, 3, 112, 112], "data", {"fc1": [1, 6]}, constants)


def test_sface_without_its_normalisations_gives_the_same_vectors() -> None:
    published = published_sface()
    rebuilt = sface(published)
    kinds = {node.op_type for node in rebuilt.graph.node}
    assert not {"PRelu", "Max", "BatchNormalization", "DequantizeLinear"} & kinds
    images = np.random.default_rng(0).uniform(0, 255, (3, 3, 112, 112)).astype(np.float32)
    expected = np.concatenate([run(published, image[None])[0] for image in images])
    (vectors,) = run(rebuilt, images)
    assert np.ptp(expected, axis=0).min() > 0
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_another_net_is_refused() -> None:
    with pytest.raises(ValueError, match="not those of SFace"):
        sface(published_sface(SFACE_LAYERS - 1))
    with pytest.raises(ValueError, match="not those of YuNet"):
        yunet(published_sface(1))


def published_yunet() -> onnx.ModelProto:
    """YuNet's heads on the means of its cells after one convolution; fixed to one image of 64 x 64 pixels."""
    rng = np.random.default_rng(2)
    constants: dict[str, NDArray[Any]] = {}
    outputs: dict[str, Sequence[int | str]] = {}

    def conv(x: str, y: str, *shape: int, **attributes: Any) -> onnx.NodeProto:
        constants[f"w_{y}"] = rng.normal(0, 0.3, shape).astype(np.float32)
        constants[f"b_{y}"] = rng.normal(0, 0.3, shape[0]).astype(np.float32)
        return helper.make_node("Conv", [x, f"w_{y}", f"b_{y}"], [y], **attributes)

    nodes = [conv("input", "stem", CHANNELS, 3, 1, 1)]
    constants["w_stem"] /= 100
    for stride in STRIDES:
        sides = [stride] * 2
        nodes.append(
            helper.make_node("AveragePool", ["stem"], [f"p{stride}"], kernel_shape=sides, strides=sides)
        )
    for head, width in HEADS.items():
        constants[f"shape_{head}"] = np.array([1, -1, width], np.int64)
        for stride in STRIDES:
            name = f"{head}_{stride}"
            nodes += [
                conv(f"p{stride}", f"c_{name}", width, CHANNELS, 1, 1),
                conv(f"c_{name}", f"d_{name}", width, 1, 3, 3, pads=[1] * 4, group=width),
                helper.make_node("Transpose", [f"d_{name}"], [f"t_{name}"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"t_{name}", f"shape_{head}"], [f"r_{name}"]),
                helper.make_node("Sigmoid" if width == 1 else "Identity", [f"r_{name}"], [name]),
            ]
            outputs[name] = [1, (64 // stride) ** 2, width]
    return model(nodes, [1, 3, 64, 64], "input", outputs, constants)


def test_yunet_is_decoded_at_any_size_and_in_batches() -> None:
    published = published_yunet()
    rebuilt = yunet(published)
    height, width = 64, 96
    images = np.random.default_rng(1).uniform(0, 255, (2, 3, height, width)).astype(np.float32)
    boxes, scores, keypoints = run(rebuilt, images)
    free = onnx.ModelProto()
    free.CopyFrom(published)
    free.graph.input[0].type.tensor_type.shape.dim[3].dim_value = width
    for output in free.graph.output:
        output.type.tensor_type.ClearField("shape")
    for row, image in enumerate(images):
        raw = dict(zip([o.name for o in free.graph.output], run(free, image[None, ::-1].copy()), strict=True))
        start = 0
        for stride in STRIDES:
            y, x = np.divmod(np.arange(height // stride * (width // stride)), width // stride)
            corner = np.stack([x, y], axis=1)
            end = start + len(corner)
            centre = raw[f"bbox_{stride}"][0, :, :2] + corner
            half = np.exp(raw[f"bbox_{stride}"][0, :, 2:]) / 2
            expected = np.concatenate([centre - half, centre + half], axis=1) * stride / CANVAS
            np.testing.assert_allclose(boxes[row, start:end], expected, rtol=1e-4, atol=1e-6)
            score = np.sqrt(raw[f"cls_{stride}"][0, :, 0] * raw[f"obj_{stride}"][0, :, 0])
            np.testing.assert_allclose(scores[row, start:end], score, rtol=1e-5)
            points = (raw[f"kps_{stride}"][0].reshape(-1, 5, 2) + corner[:, None]) * stride / CANVAS
            np.testing.assert_allclose(keypoints[row, start:end], points, rtol=1e-4, atol=1e-6)
            start = end
        assert start == scores.shape[1]
