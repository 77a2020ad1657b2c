from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from deployments.packs.manifest import MANIFEST_FILE
from deployments.packs.pack import OPEN_FOLDER
from deployments.packs.registry import describe_pack, find_pack, list_packs, load_pack
from semblance.errors import PackError
from semblance.settings import Settings


def install(folder: Path, *, commercial_use: bool = True, version: str = "1.0.0") -> Path:
    """A copy of the open pack under another name."""
    shutil.copytree(OPEN_FOLDER, folder)
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    manifest |= {"name": folder.name, "version": version}
    manifest["licence"]["commercial_use"] = commercial_use
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    return folder


def test_the_open_pack_is_the_default_and_needs_nothing(settings: Settings) -> None:
    pack = load_pack(settings)
    assert pack.info.pack == "open"
    assert pack.info.digest == describe_pack(settings).manifest.digest
    assert (pack.threshold, pack.attribute_crop) == (0.4, None)
    assert (pack.alignment.size, pack.alignment.points) == (112, "landmarks")
    assert describe_pack(settings).borrowed == ()


def test_places_are_searched_in_order(tmp_path: Path, settings: Settings) -> None:
    own = settings.model_copy(update={"pack": "mine"})
    places = [tmp_path / "user" / ".insightface" / "models", settings.home / "packs", tmp_path / "packs"]
    for version, place in enumerate(places):
        install(place / "mine", version=str(version))
        assert find_pack("mine", own) == (place / "mine").resolve()
        assert describe_pack(own).manifest.version == str(version)


@pytest.mark.parametrize("nested", [False, True])
def test_pack_by_path_also_nested_in_a_folder_of_its_name(
    tmp_path: Path, settings: Settings, nested: bool
) -> None:
    folder = tmp_path / "elsewhere" / "mine"
    installed = install(folder / "mine" if nested else folder)
    found = load_pack(settings.model_copy(update={"pack": str(folder)}))
    assert found.info.pack == "mine"
    assert find_pack(str(folder), settings) == installed.resolve()


def test_absent_pack_says_where_to_put_it(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(PackError) as caught:
        load_pack(settings.model_copy(update={"pack": "buffalo_l"}))
    message = caught.value.message
    for place in (tmp_path / "packs", settings.home / "packs", tmp_path / "user/.insightface/models"):
        assert str(place / "buffalo_l") in message
    assert "InsightFace project on GitHub" in message
    assert "SEMBLANCE_PACK_DIR" in message


def test_non_commercial_pack_needs_consent(tmp_path: Path, settings: Settings) -> None:
    install(tmp_path / "packs" / "research", commercial_use=False)
    chosen = settings.model_copy(update={"pack": "research"})
    with pytest.raises(PackError, match=r"non-commercial use only.*SEMBLANCE_ACCEPT_NONCOMMERCIAL=1"):
        load_pack(chosen)
    assert load_pack(chosen.model_copy(update={"accept_noncommercial": True})).info.pack == "research"


def test_damaged_pack_does_not_load(tmp_path: Path, settings: Settings) -> None:
    folder = install(tmp_path / "packs" / "mine")
    with (folder / "face_expression_u8.onnx").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(PackError, match=r"face_expression_u8\.onnx is damaged"):
        load_pack(settings.model_copy(update={"pack": "mine"}))


def test_list_shows_packs_and_problems(tmp_path: Path, settings: Settings) -> None:
    install(tmp_path / "packs" / "mine", commercial_use=False)
    (install(tmp_path / "packs" / "broken") / "LICENSE").unlink()
    entries = {entry.name: entry for entry in list_packs(settings)}
    assert list(entries) == ["broken", "mine", "open"]
    assert entries["broken"].description is None
    assert "LICENSE is missing" in (entries["broken"].problem or "")
    mine, shipped = entries["mine"].description, entries["open"].description
    assert mine is not None
    assert shipped is not None
    assert (mine.commercial_use, shipped.commercial_use) == (False, True)
    assert mine.manifest.digest != shipped.manifest.digest


def test_absent_roles_are_played_by_the_open_pack(tmp_path: Path, settings: Settings) -> None:
    folder = install(tmp_path / "packs" / "lean")
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    for name, file in (("expression", "face_expression_u8.onnx"), ("age_gender", "age_gender_u8.onnx")):
        del manifest["roles"][name], manifest["sha256"][file]
        (folder / file).unlink()
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    chosen = settings.model_copy(update={"pack": "lean"})
    assert describe_pack(chosen).borrowed == ("age_gender", "expression")
    pack = load_pack(chosen)
    assert type(pack.expression()) is type(load_pack(settings).expression())
    assert type(pack.age_gender()) is type(load_pack(settings).age_gender())
