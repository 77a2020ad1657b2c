from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deployments.packs.manifest import MANIFEST_FILE, Manifest, has_manifest, read_manifest
from deployments.packs.pack import OPEN_FOLDER
from semblance.earlier_packs import EARLIER
from semblance.errors import PackError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OPEN_FOLDER, tmp_path / "open"))


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with only the manifest."""
    shutil.copy(OPEN_FOLDER / MANIFEST_FILE, tmp_path)
    return tmp_path


def document() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((OPEN_FOLDER / MANIFEST_FILE).read_text())
    return content


def test_open_pack_is_intact() -> None:
    manifest = read_manifest(OPEN_FOLDER)
    manifest.verify(OPEN_FOLDER)
    weights = {path.name for path in OPEN_FOLDER.iterdir() if path.suffix in (".onnx", ".npy")}
    licences = {"LICENSE", "LICENSE.sface", "LICENSE.yunet"}
    assert weights | licences == set(manifest.sha256)


@pytest.mark.parametrize("name", sorted(read_manifest(OPEN_FOLDER).sha256))
def test_one_changed_byte_is_refused_by_name(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(PackError, match=f"{name} is damaged .* Restore the file"):
        read_manifest(folder).verify(folder)


def test_missing_file_is_refused_by_name(folder: Path) -> None:
    (folder / "age_gender_u8.onnx").unlink()
    with pytest.raises(PackError, match=r"age_gender_u8\.onnx is missing"):
        read_manifest(folder).verify(folder)


def test_a_digest_stored_in_databases_does_not_change() -> None:
    """The manifest of the first open pack had neither `upright_score` nor `small_face`."""
    assert read_manifest(Path(__file__).parent / "open_1").digest in EARLIER


def test_digest_covers_the_whole_manifest_and_ignores_layout() -> None:
    base = document()
    digest = Manifest.model_validate(base).digest
    reordered = dict(reversed(base.items()))
    assert Manifest.model_validate(reordered).digest == digest
    for change in (
        {"version": "1.0.1"},
        {"threshold": 0.6},
        {"sha256": base["sha256"] | {"age_gender_u8.onnx": "0" * 64}},
        {"roles": base["roles"] | {"detect": base["roles"]["detect"] | {"nms_iou": 0.45}}},
        {"roles": base["roles"] | {"detect": base["roles"]["detect"] | {"small_face": 0.07}}},
    ):
        assert Manifest.model_validate(base | change).digest != digest


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("surprise",), 1, "surprise: Extra inputs"),
        (("sha256", "LICENSE"), "abc", "sha256.LICENSE"),
        (("sha256", "../../etc/passwd"), "0" * 64, "not a path inside the pack"),
        (("roles", "embed", "file"), "other.onnx", "sha256 lacks other.onnx"),
        (("roles", "embed", "dimensions"), 1024, "roles.embed.dimensions"),
        (("roles", "landmarks"), None, "needs a landmarks role"),
        (("roles", "expression", "labels"), ["happy"] * 7, "labels must name each of"),
        (("roles", "detect", "score_threshold"), 1.5, "roles.detect.score_threshold"),
        (("format",), "semblance-pack/2", "format"),
    ],
)
def test_wrong_manifest_names_the_field(
    bare: Path, path: tuple[str, ...], value: object, complaint: str
) -> None:
    content = document()
    *parents, last = path
    target = content
    for key in parents:
        target = target[key]
    target[last] = value
    (bare / MANIFEST_FILE).write_text(json.dumps(content))
    with pytest.raises(PackError, match=complaint):
        read_manifest(bare)


def test_damaged_json_is_an_error_not_a_foreign_pack(bare: Path) -> None:
    (bare / MANIFEST_FILE).write_text('{"format": ')
    assert has_manifest(bare)
    with pytest.raises(PackError, match=r"manifest.json does not make a valid model pack.*docs/packs.md"):
        read_manifest(bare)


def test_insightface_package_manifest_is_not_ours(bare: Path) -> None:
    (bare / MANIFEST_FILE).write_text('{"manifest_version": 2}')
    assert not has_manifest(bare)
