"""Which calibration applies to a pack."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deployments.packs.calibration import CALIBRATION_FILE, read_calibration
from deployments.packs.pack import OPEN_FOLDER
from deployments.packs.registry import describe_pack, load_pack, load_scale
from semblance.errors import PackError
from semblance.settings import Settings
from semblance.types import ModelInfo
from serve_app.preflight import check_pack
from tests.support.calibrations import calibration_of, write_calibration

OTHER = ModelInfo("open", "0" * 64)


@pytest.fixture
def installed(settings: Settings) -> Settings:
    """A copy of the open pack without a calibration, in use."""
    assert settings.pack_dir is not None
    folder = settings.pack_dir / "mine"
    shutil.copytree(OPEN_FOLDER, folder)
    (folder / CALIBRATION_FILE).unlink(missing_ok=True)
    return settings.model_copy(update={"pack": "mine"})


def folder_of(settings: Settings) -> Path:
    return describe_pack(settings).folder


def test_the_shipped_pack_has_its_own(settings: Settings) -> None:
    """Made for the very pack: after a change of the pack, `python -m tools.calibrate_open_pack`."""
    scale = load_scale(settings, load_pack(settings))
    assert scale.calibration is not None
    assert scale.calibration.digest == scale.digest == describe_pack(settings).manifest.digest
    assert scale.calibration.version == describe_pack(settings).manifest.version
    assert 1 < scale.calibration.most <= scale.calibration.strangers.people_pairs
    assert scale.calibration.source
    # A photo of the person is closer than any stranger was, and the pack's threshold lies in between.
    assert scale.calibration.strangers.rungs[-1].similarity < scale.threshold
    assert scale.decide(0).false_match_rate == 1 / scale.calibration.most


def test_a_pack_without_one_has_no_scale(installed: Settings) -> None:
    pack = load_pack(installed)
    scale = load_scale(installed, pack)
    assert scale.calibration is None
    assert (scale.threshold, scale.digest) == (pack.threshold, pack.info.digest)


def test_it_lies_in_the_packs_folder_and_changes_no_digest(installed: Settings) -> None:
    pack = load_pack(installed)
    write_calibration(folder_of(installed) / CALIBRATION_FILE, pack.info)
    assert load_scale(installed, load_pack(installed)).calibration == calibration_of(pack.info)
    assert load_pack(installed).info == pack.info


def test_the_settings_name_another(installed: Settings, tmp_path: Path) -> None:
    pack = load_pack(installed)
    (folder_of(installed) / CALIBRATION_FILE).write_text("damaged, but not looked at")
    own = installed.model_copy(update={"calibration": write_calibration(tmp_path / "own.json", pack.info)})
    assert load_scale(own, pack).calibration == calibration_of(pack.info)


def test_one_of_an_earlier_version_is_not_used(installed: Settings) -> None:
    write_calibration(folder_of(installed) / CALIBRATION_FILE, OTHER)
    assert load_scale(installed, load_pack(installed)).calibration is None


def test_the_check_before_a_start_reports_it(installed: Settings, tmp_path: Path) -> None:
    def found(settings: Settings) -> tuple[str, str]:
        [finding] = [each for each in check_pack(settings) if each.subject == "Calibration"]
        return finding.level, finding.line

    file, info = folder_of(installed) / CALIBRATION_FILE, load_pack(installed).info
    assert found(installed)[0] == "ok"
    write_calibration(file, info)
    assert found(installed) == ("ok", "measured on 40 people, supports 1 in 100 strangers")
    write_calibration(file, OTHER)
    level, line = found(installed)
    assert level == "warn"
    assert "semblance models calibrate" in line
    file.write_text("{}")
    assert found(installed)[0] == "fail"
    level, line = found(installed.model_copy(update={"calibration": tmp_path / "absent.json"}))
    assert level == "fail"
    assert "absent.json" in line


def test_one_of_another_pack_that_the_settings_name_is_refused(installed: Settings, tmp_path: Path) -> None:
    own = installed.model_copy(update={"calibration": write_calibration(tmp_path / "own.json", OTHER)})
    with pytest.raises(PackError, match=r"own\.json was made for open.*SEMBLANCE_CALIBRATION"):
        load_scale(own, load_pack(own))


@pytest.mark.parametrize("named", [False, True])
def test_a_damaged_one_is_refused(installed: Settings, tmp_path: Path, *, named: bool) -> None:
    file = tmp_path / "own.json" if named else folder_of(installed) / CALIBRATION_FILE
    file.write_text("{}")
    chosen = installed.model_copy(update={"calibration": file}) if named else installed
    with pytest.raises(PackError, match="not a valid calibration"):
        load_scale(chosen, load_pack(chosen))


def test_the_shipped_one_holds_nothing_of_the_photos() -> None:
    """Only numbers, and the sentence on whose photos they were."""
    document = read_calibration(OPEN_FOLDER / CALIBRATION_FILE).model_dump()
    texts = {name: value for name, value in document.items() if isinstance(value, str)}
    assert texts.keys() == {"format", "pack", "version", "digest", "source"}
    assert len((OPEN_FOLDER / CALIBRATION_FILE).read_bytes()) < 8_000
