"""Small ONNX files with the inputs and outputs of InsightFace's nets, and known answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

STRIDES = (8, 16, 32)

FACE_BOX = (2.0, 3.0, 4.0, 5.0)
"""What the synthetic SCRFD says around a red cell: left, top, right, bottom, in cells of 8 pixels."""

FACE_KEYPOINTS = (-1.0, -1.0, 1.0, -1.0, 0.0, 0.5, -1.0, 2.0, 1.0, 2.0)
"""And its five keypoints, x and y in cells from the red cell's corner."""


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[str | int],
    outputs: Mapping[str, Sequence[str | int]],
    constants: Mapping[str, NDArray[np.generic]],
) -> Path:
    """Write a graph of one float input named `input`."""
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, size) for name, size in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def scrfd(path: Path, side: str | int = "?") -> Path:
    """A detector that sees a face in every 8 px cell that is pure red (so it also tells RGB from BGR)."""
    constants: dict[str, NDArray[np.generic]] = {
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "half": np.array(0.5, np.float32),
        "nothing": np.array(0, np.float32),
        "rows": np.array([-1, 1], np.int64),
        "box": np.array([FACE_BOX], np.float32),
        "points": np.array([FACE_KEYPOINTS], np.float32),
    }
    nodes = [
        helper.make_node("Slice", ["input", "zero", "one", "one"], ["red"]),
        helper.make_node("Slice", ["input", "one", "two", "one"], ["green"]),
        helper.make_node("Sub", ["red", "green"], ["difference"]),
        helper.make_node("Mul", ["difference", "half"], ["redness"]),
    ]
    for stride in STRIDES:
        cells, silent = f"cells{stride}", f"silent{stride}"
        found = cells if stride == 8 else silent
        nodes += [
            helper.make_node(
                "AveragePool", ["redness"], [cells], kernel_shape=[stride] * 2, strides=[stride] * 2
            ),
            helper.make_node("Mul", [cells, "nothing"], [silent]),
            helper.make_node("Concat", [found, silent], [f"pair{stride}"], axis=1),
            helper.make_node("Transpose", [f"pair{stride}"], [f"last{stride}"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", [f"last{stride}", "rows"], [f"score{stride}"]),
            helper.make_node("Mul", [f"score{stride}", "nothing"], [f"blank{stride}"]),
            helper.make_node("Add", [f"blank{stride}", "box"], [f"bbox{stride}"]),
            helper.make_node("Add", [f"blank{stride}", "points"], [f"kps{stride}"]),
        ]
    outputs = {
        f"{kind}{stride}": (f"n{stride}", width)
        for kind, width in (("score", 1), ("bbox", 4), ("kps", 10))
        for stride in STRIDES
    }
    return save(path, nodes, (1, 3, side, side), outputs, constants)


def linear_net(
    path: Path, side: int, bias: ArrayLike, *, batch: str | int = "N", weight: float = 0.05
) -> Path:
    """The mean colour of the image through a fixed matrix, plus a bias: the output changes with the
    picture, its channel order and its normalisation."""
    offset = np.asarray(bias, np.float32)
    matrix = np.random.default_rng(3).normal(0, weight, (3, offset.size)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["colour"], axis=1),
        helper.make_node("Gemm", ["colour", "matrix", "offset"], ["fc1"]),
    ]
    return save(
        path, nodes, (batch, 3, side, side), {"fc1": (1, offset.size)}, {"matrix": matrix, "offset": offset}
    )


def mean_shape() -> NDArray[np.float64]:
    """insightface's mean face, [68, 3], about -.63...63: x right, y down, z towards the camera."""
    from insightface.data import get_object

    shape: NDArray[np.float64] = get_object("meanshape_68.pkl")
    return shape


def landmarks_3d(path: Path, shape: NDArray[np.float64]) -> Path:
    """A 1k3d68 whose 68 points are `shape` in units of the half crop, moved a little by the picture."""
    dense = np.zeros((1103, 3))
    dense[-68:] = shape
    return linear_net(path, 192, dense.ravel(), weight=0.002)


def pack(folder: Path) -> Path:
    """A folder as an InsightFace archive unpacks: detector, landmarks (3-D and 2-D), attributes, ArcFace."""
    folder.mkdir(parents=True)
    linear_net(folder / "1k2d106.onnx", 192, np.zeros(212))
    landmarks_3d(folder / "1k3d68.onnx", mean_shape())
    scrfd(folder / "det_tiny.onnx")
    linear_net(folder / "genderage.onnx", 96, [0.2, -0.1, 0.31])
    linear_net(folder / "w_arc.onnx", 112, np.linspace(-1, 1, 512), weight=1.0)
    linear_net(folder / "z_arc.onnx", 112, np.zeros(512))
    return folder
