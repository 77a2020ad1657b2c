from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from deployments.packs.image_net import ImageNet
from deployments.packs.manifest import Normalisation, Role
from deployments.packs.pack import OPEN_FOLDER
from deployments.packs.sessions import open_session
from semblance.errors import ConfigurationError, PackError
from semblance.settings import Settings
from tests.support.synthetic_pack import linear_net, save
from tools import CHECKOUT

SIDE = 16


def role(**fields: object) -> Role:
    base = {"file": "net.onnx", "input_size": SIDE, "normalisation": "in_graph", "outputs": ("fc1",)}
    return Role.model_validate(base | fields)


@pytest.mark.parametrize("module", ["deployments.packs.sessions", "deployments.products", "tools.minilm"])
def test_onnxruntime_reports_nothing(tmp_path: Path, module: str) -> None:
    # It names the machine by a file in the home, and reports nothing where it sees that tests run.
    clean = {"HOME": str(tmp_path), "PATH": os.defpath}
    subprocess.run([sys.executable, "-c", f"import {module}"], env=clean, cwd=CHECKOUT, check=True)
    assert list(tmp_path.rglob("*onnxruntime*")) == []


def test_session_follows_the_settings() -> None:
    settings = Settings(execution_provider="cpu", threads=2)
    session = open_session(OPEN_FOLDER / "age_gender_u8.onnx", settings)
    assert isinstance(session, onnxruntime.InferenceSession)
    options = session.get_session_options()
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    for entry, value in {
        "session.intra_op.allow_spinning": "0",
        "session.inter_op.allow_spinning": "0",
        "session.disable_quant_qdq": "1",
        "session.use_env_allocators": "1",
    }.items():
        assert options.get_session_config_entry(entry) == value


def test_file_that_is_no_graph_is_named(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "net.onnx").write_bytes(b"not a graph")
    with pytest.raises(PackError, match=r"cannot load .*net.onnx"):
        open_session(tmp_path / "net.onnx", settings)


def test_cuda_is_refused_where_onnxruntime_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigurationError, match="SEMBLANCE_EXECUTION_PROVIDER=cpu"):
        open_session(OPEN_FOLDER / "age_gender_u8.onnx", Settings(execution_provider="cuda"))


@pytest.mark.parametrize("batch", ["N", 1])
def test_batches_of_any_size(tmp_path: Path, settings: Settings, batch: str | int) -> None:
    """This includes a graph with a fixed batch of 1, and more images than one run takes."""
    linear_net(tmp_path / "net.onnx", SIDE, np.arange(4), batch=batch)
    net = ImageNet(tmp_path, role(normalisation=Normalisation(mean=10, std=50)), settings)
    images = np.random.default_rng(1).integers(0, 256, (70, SIDE, SIDE, 3), np.uint8)
    (outputs,) = net.run(images)
    matrix = np.random.default_rng(3).normal(0, 0.05, (3, 4))
    expected = (images.mean(axis=(1, 2)) - 10) / 50 @ matrix + np.arange(4)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_graph_that_mixes_its_batch_is_refused(tmp_path: Path, settings: Settings) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["batch_mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["input", "batch_mean"], ["rest"]),
        helper.make_node("GlobalAveragePool", ["rest"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["fc1"], axis=1),
    ]
    save(tmp_path / "net.onnx", nodes, ("N", 3, SIDE, SIDE), {"fc1": ("N", 3)}, {})
    with pytest.raises(PackError, match=r"net.onnx gives other results in a batch of 3"):
        ImageNet(tmp_path, role(), settings)


def test_graph_with_a_baked_in_batch_is_refused(tmp_path: Path, settings: Settings) -> None:
    shape = np.array([1, 3 * SIDE * SIDE], np.int64)
    nodes = [helper.make_node("Reshape", ["input", "shape"], ["fc1"])]
    save(tmp_path / "net.onnx", nodes, ("N", 3, SIDE, SIDE), {"fc1": (1, int(shape[1]))}, {"shape": shape})
    with pytest.raises(PackError, match=r"net.onnx cannot run a batch of 3"):
        ImageNet(tmp_path, role(), settings)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [({"input_size": 32}, "its role needs"), ({"outputs": ("age",)}, r"the manifest expects \['age'\]")],
)
def test_graph_that_does_not_fit_its_role_is_refused(
    tmp_path: Path, settings: Settings, fields: dict[str, object], complaint: str
) -> None:
    linear_net(tmp_path / "net.onnx", SIDE, np.arange(4))
    with pytest.raises(PackError, match=complaint):
        ImageNet(tmp_path, role(**fields), settings)


GROWTH = """
import numpy as np, psutil
from deployments.packs.registry import load_pack
from semblance.settings import Settings

def mb():
    return psutil.Process().memory_full_info().uss / 1e6

pack, canvas = load_pack(Settings()), np.zeros((640, 640, 3), np.uint8)
nets = [pack.detector()]
nets[0].detect([canvas])
before = mb()
nets.append(pack.detector())
nets[1].detect([canvas])
print(mb() - before)
"""


def test_sessions_share_the_memory_of_their_runs() -> None:
    said = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True).stdout
    # With an arena of its own the second session takes 50 MB.
    assert float(said) < 20
