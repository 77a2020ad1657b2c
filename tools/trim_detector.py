"""Make the open pack's face detector computable on less than its whole canvas.

The published net (SSD MobileNetV1: Liu et al. 2016, Howard et al. 2017) takes a square of 512 pixels,
of which a photo of 4:3 leaves a quarter black. Here the backbone takes any height and width that are
multiples of 32, and its two feature maps are then completed to their full grids with the features of black.
Everything behind them, the anchors and both outputs stay as they are. Only the outermost black is left away,
so boxes and scores stay those of the whole canvas up to the backbone's view of that border.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import onnxruntime
import typer
from numpy.typing import NDArray
from onnx import helper, numpy_helper

CANVAS = 512
"""Side in pixels of the whole canvas."""

STRIDE = 32
"""Pixels per cell of the deepest feature map of the backbone: height and width must be multiples of it."""


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """A tensor of the backbone that the predictors read. grid: its side in cells on the whole canvas."""

    tensor: str
    grid: int
    inside: frozenset[str]
    """Nodes of the backbone itself that read the tensor and go on with the trimmed one."""


FEATURE_MAPS = (
    FeatureMap("t48", 32, frozenset({"Conv_49"})),
    FeatureMap("t56", 16, frozenset()),
)
"""The outputs of the eleventh and the last separable block, under the names the conversion gave them."""


def trim(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same detector with free height and width, multiples of STRIDE up to CANVAS.

    Raises ValueError where the model is not the published detector.
    """
    shape = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    produced = {name for node in model.graph.node for name in node.output}
    missing = sorted({features.tensor for features in FEATURE_MAPS} - produced)
    if shape != [3, CANVAS, CANVAS] or missing:
        raise ValueError(
            f"The input must be [N, 3, {CANVAS}, {CANVAS}] and the feature maps must be there, but it is "
            f"{shape} and {missing or 'none'} are missing: convert the detector afresh."
        )
    black = _features_of_black(model)
    trimmed = onnx.ModelProto()
    trimmed.CopyFrom(model)
    graph = trimmed.graph
    nodes = list(graph.node)
    del graph.node[:]
    del graph.value_info[:]
    completions = {
        features.tensor: _Completion(features, black[features.tensor]) for features in FEATURE_MAPS
    }
    for node in nodes:
        for index, name in enumerate(node.input):
            completion = completions.get(name)
            if completion is not None and node.name not in completion.features.inside:
                node.input[index] = completion.result
        graph.node.append(node)
        for name in node.output:
            if name in completions:
                graph.node.extend(completions[name].nodes)
    for completion in completions.values():
        graph.initializer.extend(completion.constants)
    for dimension, symbol in zip(graph.input[0].type.tensor_type.shape.dim[2:], ("H", "W"), strict=True):
        dimension.dim_param = symbol
    trimmed.doc_string = (
        f"RGB 0..255, resized keeping aspect to a long side of {CANVAS}, zero-padded right and bottom to "
        f"multiples of {STRIDE}; boxes x1 y1 x2 y2 relative to the square of {CANVAS}; NMS IoU 0.5"
    )
    onnx.checker.check_model(trimmed, full_check=True)
    return trimmed


class _Completion:
    """The nodes that fill a trimmed feature map with the features of black, right and below."""

    def __init__(self, features: FeatureMap, black: NDArray[np.float32]) -> None:
        self.features = features
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        fill = self._constant("black", black.reshape(1, -1, 1, 1))
        grid = self._constant("grid", np.array([features.grid], np.int64))
        channels = self._constant("channels", np.array([black.size], np.int64))
        shape = self._node("Shape", [features.tensor], "shape")
        batch, height, width = (
            self._node("Gather", [shape, self._constant(f"axis_{name}", np.array([axis], np.int64))], name)
            for name, axis in (("batch", 0), ("height", 2), ("width", 3))
        )
        right = self._node("Sub", [grid, width], "right")
        below = self._node("Sub", [grid, height], "below")
        beside = self._node("Concat", [batch, channels, height, right], "beside_shape", axis=0)
        under = self._node("Concat", [batch, channels, below, grid], "under_shape", axis=0)
        wide = self._node(
            "Concat", [features.tensor, self._node("Expand", [fill, beside], "beside")], "wide", axis=3
        )
        self.result = self._node(
            "Concat", [wide, self._node("Expand", [fill, under], "under")], "whole", axis=2
        )

    def _constant(self, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        name = f"{self.features.tensor}_{name}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def _node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        name = f"{self.features.tensor}_{name}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name


def _features_of_black(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """Of each feature map, float32 [C] in the middle of a black canvas, out of sight of its borders."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    names = [features.tensor for features in FEATURE_MAPS]
    probe.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    # Plain execution: no fused or reordered arithmetic, and so the same file from every machine's library.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
    )
    canvas = np.zeros((1, 3, CANVAS, CANVAS), np.float32)
    maps = session.run(names, {model.graph.input[0].name: canvas})
    return {
        features.tensor: np.asarray(found[0, :, features.grid // 2, features.grid // 2], np.float32)
        for features, found in zip(FEATURE_MAPS, maps, strict=True)
    }


def main(
    source: Annotated[Path, typer.Argument(help="The detector with the fixed canvas, ONNX.", exists=True)],
    target: Annotated[Path, typer.Argument(help="Where to write the detector with free height and width.")],
) -> None:
    """Make the open pack's face detector computable on less than its whole canvas."""
    try:
        onnx.save(trim(onnx.load(source)), target)
    except ValueError as exc:
        raise typer.BadParameter(f"{source} is not the published detector. {exc}") from exc


if __name__ == "__main__":
    typer.run(main)
