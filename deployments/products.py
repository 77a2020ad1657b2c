"""Integer products of onnxruntime, twice as fast as numkong's where the processor sums products of bytes.

Workers of a rematch import this before their first search, so it imports little.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from matching.integer_screen import Products

_ZERO: Final = 128
"""What stands for zero in targets: products of two signed numbers are ten times slower."""


def exact_products(graph: bytes) -> Products | None:
    """The products of the graph of `products_graph`, on one core. None if they are not exact here: on x86
    without VNNI, the sum of two saturates at 16 bits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, sess_options=options, providers=["CPUExecutionProvider"])

    def products(
        probes: NDArray[np.int8], scale: NDArray[np.float32]
    ) -> Callable[[NDArray[np.int8]], NDArray[np.float32]]:
        of_probes = {"probes": np.ascontiguousarray(probes.T), "scale": np.ascontiguousarray(scale)}

        def of(targets: NDArray[np.int8]) -> NDArray[np.float32]:
            feeds = {"targets": targets.view(np.uint8) ^ np.uint8(_ZERO), **of_probes}
            found: NDArray[np.float32] = session.run(None, feeds)[0]
            return found

        return of

    return products if _are_exact(products) else None


def _are_exact(products: Products) -> bool:
    """Whether the largest products come out right."""
    largest = np.full((3, 64), 127, np.int8)
    largest[1] = -127
    largest[2, ::3] = -127
    wide = largest.astype(np.int32)
    found = products(largest, np.ones(3, np.float32))(largest)
    return bool((found == wide @ wide.T).all())


def products_graph() -> bytes:
    """The graph: uint8 targets [N, D], int8 probes [D, P], scales [P], and the products times these,
    float32 [N, P]."""
    from onnx import TensorProto, helper  # noqa: PLC0415 - see above

    value = helper.make_tensor_value_info
    inputs = ["targets", "probes", "one", "scale", "zero"]
    graph = helper.make_graph(
        [helper.make_node("MatMulIntegerToFloat", inputs, ["products"], domain="com.microsoft")],
        "products",
        [
            value("targets", TensorProto.UINT8, ["N", "D"]),
            value("probes", TensorProto.INT8, ["D", "P"]),
            value("scale", TensorProto.FLOAT, ["P"]),
        ],
        [value("products", TensorProto.FLOAT, ["N", "P"])],
        [
            helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
            helper.make_tensor("zero", TensorProto.UINT8, [], [_ZERO]),
        ],
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return bytes(helper.make_model(graph, opset_imports=domains, ir_version=8).SerializeToString())
