"""Builds onnxruntime sessions, all in the same way, and checks that a net may be batched."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from semblance.errors import ConfigurationError, PackError
from semblance.settings import Settings

BATCH_TOLERANCE = 1e-3
"""Largest difference between a batched and a single run, as a share of an output's largest magnitude.
On a CPU the two are equal to the last bit; a GPU picks other convolution algorithms by batch size. A
graph with its batch size baked in is off by the magnitude of the output itself."""

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class TensorInfo(Protocol):
    """Name, shape (a string or None for a free dimension) and element type of an input or output."""

    name: str
    shape: list[int | str | None]
    type: str


class Session(Protocol):
    """The part of onnxruntime.InferenceSession that packs use; `run` may be called from several threads."""

    def run(self, output_names: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[Any]: ...
    def get_inputs(self) -> list[TensorInfo]: ...
    def get_outputs(self) -> list[TensorInfo]: ...
    def get_providers(self) -> list[str]: ...


def open_session(path: Path, settings: Settings) -> Session:
    """Load a graph for inference, on the provider and with the number of threads in the settings.

    Raises ConfigurationError if the provider is not available, PackError if the file is not a valid graph.
    """
    options = onnxruntime.SessionOptions()
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    # Errors only: older published nets declare a batch of one as output and warn at every larger run.
    options.log_severity_level = 3
    # Pools that spin while idle take the cores from other sessions on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Folds the DequantizeLinear of compressed weights at load instead of running it for every image.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    providers = available_providers(settings)
    if providers == [CPU]:
        _share_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        session = onnxruntime.InferenceSession(path, sess_options=options, providers=providers)
    except Exception as exc:  # onnxruntime's own exceptions share no base class
        raise PackError(f"onnxruntime cannot load {path}: {exc}") from exc
    if settings.execution_provider == "cuda" and session.get_providers()[0] != CUDA:
        raise ConfigurationError(
            "SEMBLANCE_EXECUTION_PROVIDER=cuda, but onnxruntime could not start CUDA: check the driver and "
            "the CUDA and cuDNN libraries, or set SEMBLANCE_EXECUTION_PROVIDER=cpu."
        )
    return cast(Session, session)


@cache
def _share_memory() -> None:
    """Make the arena from which all sessions of this process take the memory of their runs. One of its own
    would keep what a session's largest run took, and of a replica's nets one runs at a time."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, None)


def open_graph(graph: bytes, settings: Settings) -> Any:
    """Load a graph of sums whose last digits count, on the provider of the settings.

    Raises ConfigurationError if the provider is not available. Returns an onnxruntime.InferenceSession.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.log_severity_level = 3
    # TF32 would keep ten bits of a factor.
    own = {CUDA: {"use_tf32": "0"}, CPU: {}}
    providers = [(name, own[name]) for name in available_providers(settings)]
    return onnxruntime.InferenceSession(graph, sess_options=options, providers=providers)


def put_on_device(values: NDArray[Any], device: Literal["cuda", "cpu"]) -> Any:
    """An onnxruntime.OrtValue, which stays on the device."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(values, device, 0)


def available_providers(settings: Settings) -> list[str]:
    """onnxruntime's names of the providers to run nets on, best first. Raises ConfigurationError if the
    settings ask for one that this machine lacks."""
    if settings.execution_provider == "cpu":
        return [CPU]
    if has_cuda():
        onnxruntime.preload_dlls()  # finds CUDA and cuDNN that were installed as Python packages
        return [CUDA, CPU]
    if settings.execution_provider == "cuda":
        raise ConfigurationError(
            "SEMBLANCE_EXECUTION_PROVIDER=cuda, but this onnxruntime has no CUDA: install the gpu "
            "requirements, or set SEMBLANCE_EXECUTION_PROVIDER=cpu."
        )
    return [CPU]


def has_cuda() -> bool:
    """Whether the installed build of onnxruntime runs on CUDA; the machine may still lack a GPU."""
    return CUDA in onnxruntime.get_available_providers()


def multiplies_bytes(settings: Settings) -> bool:
    """Whether 8-bit integer nets run fast and correctly on this machine: on a CPU with instructions for sums
    of byte products. Without them, the sum of two byte products saturates at 16 bits."""
    if CUDA in available_providers(settings):
        return False
    with suppress(OSError):
        flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return flags is not None and not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags.group(1).split())
    return False


def check_batch(
    run: Callable[[NDArray[np.uint8]], Sequence[NDArray[np.float32]]],
    images: NDArray[np.uint8],
    path: Path,
) -> None:
    """Raise PackError unless the images give the same outputs together as one by one (BATCH_TOLERANCE)."""
    try:
        together = run(images)
        alone = [run(images[index : index + 1]) for index in range(len(images))]
    except Exception as exc:  # onnxruntime's own exceptions share no base class
        raise PackError(f"{path} cannot run a batch of {len(images)}: {exc}") from exc
    for batched, *single in zip(together, *alone, strict=True):
        expected = np.concatenate(single)
        limit = BATCH_TOLERANCE * float(np.abs(expected).max())
        if batched.shape != expected.shape or not np.allclose(batched, expected, rtol=0, atol=limit):
            raise PackError(
                f"{path} gives other results in a batch of {len(images)} than one by one: export it again "
                "with a free batch dimension."
            )
