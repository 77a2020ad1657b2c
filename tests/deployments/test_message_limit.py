"""What the settings allow fits into calls between replicas, however Serve is started."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
import yaml
from PIL import Image
from ray.serve._private import constants

from deployments.message_limit import check_message_limit
from deployments.replica_messages import (
    MAX_CROP_SIDE,
    STORED_SIDES,
    VARIABLE,
    largest_message,
)
from deployments.vision.decode import OpenPhoto, read_header
from deployments.vision.stored_picture import FEED_SIDE, FULL_SIDE, THUMBNAIL_SIDE, render
from semblance.errors import ConfigurationError
from semblance.settings import Settings
from semblance.types import Box, DetectedFace, Detection, FaceCrops, Pose
from tests.support.waiting import PATIENCE_S
from tools import CHECKOUT

CHECK = """
import importlib, os
from ray.serve._private import constants
from deployments.message_limit import check_message_limit
from deployments.replica_messages import message_environment
from semblance.errors import ConfigurationError
from semblance.settings import get_settings

settings = get_settings()
try:
    check_message_limit(settings)
except ConfigurationError as exc:
    print(exc)
# What a process does that starts with these variables. To start one takes a second and a half.
os.environ.update(message_environment(settings))
importlib.reload(constants)
check_message_limit(settings)
print("accepted")
"""
"""Prints what a replica reports at its start, without and with the variables that Semblance sets."""


def face() -> DetectedFace:
    """With the largest crops that a pack may ask for."""
    rng = np.random.default_rng(1)
    crop = rng.integers(0, 256, (MAX_CROP_SIDE, MAX_CROP_SIDE, 3), np.uint8)
    landmarks = rng.random((68, 2), np.float32)
    crops = FaceCrops(crop, crop + 1, landmarks + 1, crop + 2)
    return DetectedFace(Box(1.5, 2.5, 3.5, 4.5), 0.9, landmarks, crops, Pose(1.5, 2.5, 3.5))


@pytest.mark.parametrize("changes", [{}, {"max_image_bytes": 1}, {"max_faces": 1}, {"max_faces": 200}])
def test_the_largest_message_holds_all_that_the_settings_allow(changes: dict[str, int]) -> None:
    settings = Settings(**changes)  # type: ignore[arg-type]
    limit = largest_message(settings)
    picture = bytes(settings.max_image_bytes)
    faces = tuple(face() for _ in range(settings.max_faces))
    messages: list[object] = [
        ((picture, settings.max_faces), {}),
        Detection(10_000, 10_000, faces, 1000),
        ((faces,), {}),
        (([one.crops.aligned for one in faces],), {}),
    ]
    for message in messages:
        assert len(pickle.dumps(message)) < limit


def test_the_settings_keep_the_limit_within_what_grpc_can_be_told() -> None:
    fields = Settings.model_fields
    most = {
        name: max(item.le for item in fields[name].metadata if hasattr(item, "le"))
        for name in ("max_image_bytes", "max_faces")
    }
    # With room for its uploads.
    assert largest_message(Settings(**most, max_upload_bytes=2**32)) < 2**31


def test_ray_cluster_yaml_suits_the_defaults_on_every_node() -> None:
    cluster = yaml.safe_load((CHECKOUT / "ray_cluster.yaml").read_text())
    starts = [
        command
        for kind in ("head", "worker")
        for command in cluster[f"{kind}_start_ray_commands"]
        if "ray start" in command
    ]
    assert len(starts) == 2
    for command in starts:
        [value] = re.findall(rf"\b{VARIABLE}=\$\{{{VARIABLE}:-(\d+)\}}", command)
        assert int(value) >= largest_message(Settings())


def test_a_replica_reads_its_limit_from_the_environment() -> None:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SEMBLANCE_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        env={**inherited, "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    refusal, accepted = done.stdout.splitlines()
    assert f"{VARIABLE} is 4194304" in refusal
    assert f"Set it to {largest_message(Settings())} where `ray start` is called" in refusal
    assert accepted == "accepted"


def test_the_limit_may_be_as_large_as_the_largest_message_or_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    needed = largest_message(settings)
    monkeypatch.setattr(constants, "RAY_SERVE_USE_GRPC_BY_DEFAULT", True)
    monkeypatch.setattr(constants, VARIABLE, needed)
    check_message_limit(settings)
    with pytest.raises(ConfigurationError, match="SEMBLANCE_MAX_IMAGE_BYTES="):
        check_message_limit(Settings(max_image_bytes=needed + 1))
    monkeypatch.setattr(constants, VARIABLE, needed - 1)
    with pytest.raises(ConfigurationError, match=VARIABLE):
        check_message_limit(settings)
    monkeypatch.setattr(constants, "RAY_SERVE_USE_GRPC_BY_DEFAULT", False)
    check_message_limit(settings)


def test_the_largest_message_holds_what_is_stored_of_a_picture() -> None:
    """The picture is noise, whose files are the largest possible."""
    assert STORED_SIDES == (FULL_SIDE, FEED_SIDE, THUMBNAIL_SIDE)
    noise = np.random.default_rng(1).integers(0, 2, (FULL_SIDE, FULL_SIDE, 3), np.uint8) * 255
    picture = BytesIO()
    Image.fromarray(noise).save(picture, "PNG", compress_level=0)
    data = picture.getvalue()
    header = read_header(data, max_bytes=len(data), max_pixels=FULL_SIDE**2)
    stored = pickle.dumps(render(OpenPhoto(data, header)))
    assert 2**22 < len(stored) < largest_message(Settings(max_image_bytes=1, max_faces=1))
