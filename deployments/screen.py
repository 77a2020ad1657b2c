"""The first pass of a ranking as one graph of onnxruntime, for a GPU.

It is the same sum of the same terms as in `matching.estimates`. Only the pairs that may be among the best
leave the device. The exact scores, and so the results, are those of the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper

from deployments.packs.sessions import CUDA, available_providers, open_graph, put_on_device
from matching.estimates import LikelyPairs, ProbeTerms, TargetTerms
from semblance.settings import Settings

MOST_TARGETS: Final = 65_536
"""Of 256 probes: some arrays of 64 MB on the device, and of the pairs at most 340 MB in memory."""

_OPSET: Final = 17

_INPUTS: Final[dict[str, tuple[int, list[str | int]]]] = {
    "probe_codes": (TensorProto.INT8, ["P", "D"]),
    "probe_scale": (TensorProto.FLOAT, ["P", 1]),
    "probe_symmetry": (TensorProto.FLOAT, ["P", 1]),
    "probe_table": (TensorProto.FLOAT, ["P", "kinds"]),
    "probe_geometry": (TensorProto.FLOAT, ["P", 6]),
    "probe_skin_tone": (TensorProto.FLOAT, ["P", 5]),
    "probe_far": (TensorProto.FLOAT, [2]),
    "least": (TensorProto.FLOAT, ["P", 1]),
    "target_codes": (TensorProto.INT8, ["D", "N"]),
    "target_scale": (TensorProto.FLOAT, ["N"]),
    "target_kind": (TensorProto.INT64, ["N"]),
    "target_constant": (TensorProto.FLOAT, ["N"]),
    "target_geometry": (TensorProto.FLOAT, [6, "N"]),
    "target_skin_tone": (TensorProto.FLOAT, [5, "N"]),
}
"""Fields of ProbeTerms and TargetTerms, with element types and shapes."""


class GraphScreen:
    """A PairScreen on the device of the settings. Raises ConfigurationError if this machine lacks it."""

    most = MOST_TARGETS

    def __init__(self, settings: Settings) -> None:
        self._session = open_graph(likely_pairs_graph(), settings)
        self._device: Literal["cuda", "cpu"] = "cuda" if self._session.get_providers()[0] == CUDA else "cpu"

    @property
    def is_on_gpu(self) -> bool:
        return self._device == "cuda"

    def load(self, targets: TargetTerms) -> Callable[[ProbeTerms, NDArray[np.float32]], LikelyPairs]:
        """See matching.estimates.PairScreen."""
        columns = replace(targets, codes=np.ascontiguousarray(targets.codes.T))
        held = {
            f"target_{name}": put_on_device(values, self._device) for name, values in asdict(columns).items()
        }

        def pairs(probes: ProbeTerms, least: NDArray[np.float32]) -> LikelyPairs:
            binding = self._session.io_binding()
            for name, value in held.items():
                binding.bind_ortvalue_input(name, value)
            for name, values in asdict(probes).items():
                binding.bind_cpu_input(f"probe_{name}", np.ascontiguousarray(values))
            binding.bind_cpu_input("least", np.ascontiguousarray(least, np.float32))
            for name in ("places", "estimate"):
                binding.bind_output(name, "cpu")
            self._session.run_with_iobinding(binding)
            places, estimate = binding.copy_outputs_to_cpu()
            return places[0], places[1], estimate

        return pairs


def open_gpu_screen(settings: Settings) -> GraphScreen | None:
    """A PairScreen on this machine's GPU; None without a GPU or if the settings ask for the CPU, on which
    NumPy and numkong are faster than this graph. Raises ConfigurationError if the settings ask for a GPU that
    is not there."""
    if CUDA not in available_providers(settings):
        return None
    screen = GraphScreen(settings)
    return screen if screen.is_on_gpu else None


def likely_pairs_graph() -> bytes:
    """The graph, whose outputs are `places` int64 [2, M] of probes and targets, and `estimate` [M]."""
    node = helper.make_node
    nodes = [
        node("MatMulInteger", ["probe_codes", "target_codes"], ["products"]),
        node("Cast", ["products"], ["dots"], to=TensorProto.FLOAT),
        node("Mul", ["dots", "target_scale"], ["scaled"]),
        node("Mul", ["scaled", "probe_scale"], ["cosines"]),
        node("Max", ["cosines", "zero"], ["embedding"]),
        node("Gather", ["probe_table", "target_kind"], ["age_expression"], axis=1),
        node("Add", ["embedding", "age_expression"], ["with_kind"]),
        node("Add", ["with_kind", "target_constant"], ["with_constant"]),
        node("Add", ["with_constant", "probe_symmetry"], ["without_distances"]),
        node("Split", ["probe_far"], ["far_geometry", "far_skin_tone"], axis=0),
        *_distance("geometry"),
        *_distance("skin_tone"),
        node("Sub", ["without_distances", "geometry"], ["without_skin_tone"]),
        node("Sub", ["without_skin_tone", "skin_tone"], ["estimates"]),
        node("GreaterOrEqual", ["estimates", "least"], ["is_likely"]),
        node("NonZero", ["is_likely"], ["places"]),
        node("Transpose", ["places"], ["pairs"], perm=[1, 0]),
        node("GatherND", ["estimates", "pairs"], ["estimate"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "likely pairs",
        [value(name, *of) for name, of in _INPUTS.items()],
        [value("places", TensorProto.INT64, [2, "M"]), value("estimate", TensorProto.FLOAT, ["M"])],
        [helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _distance(factor: str) -> list[Any]:
    """What a distance subtracts: its length, at most the weight."""
    node = helper.make_node
    return [
        node("MatMul", [f"probe_{factor}", f"target_{factor}"], [f"{factor}_squares"]),
        node("Max", [f"{factor}_squares", "zero"], [f"{factor}_positive"]),
        node("Sqrt", [f"{factor}_positive"], [f"{factor}_length"]),
        node("Min", [f"{factor}_length", f"far_{factor}"], [factor]),
    ]
