"""`semblance models calibrate`, `evaluate` and `show`, over the real pipeline."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from deployments.packs.calibration import read_calibration
from deployments.packs.registry import describe_pack
from ops.commands.app import app
from ops.commands.models.calibrate import calibrate_model
from ops.commands.models.evaluate import evaluate_model, read_pairs
from ops.commands.models.packs import show_model
from semblance.errors import BadInputError, ConfigurationError
from semblance.settings import Settings
from tests.support import synthetic_pack, wide_photos
from tests.support.commands import semblance
from tests.support.photos import (
    ASTRONAUT,
    BIDEN,
    NO_FACE,
    OBAMA,
    OBAMA_2,
    OBAMA_3,
    altered,
    cut_out,
)

GOOD: dict[str, Callable[[], bytes]] = {
    "obama/1.jpg": OBAMA.read_bytes,
    "obama/2.jpg": OBAMA_2.read_bytes,
    "obama/more/3.jpg": OBAMA_3.read_bytes,
    "biden/1.jpg": BIDEN.read_bytes,
    "biden/2.jpg": lambda: altered(BIDEN),
    "collins/1.png": ASTRONAUT.read_bytes,
    "ross/1.png": lambda: cut_out(2),
    "chandler/1.png": lambda: cut_out(3),
}
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "collins/cloth.jpg": (NO_FACE.read_bytes, "no_face"),
    "collins/notes.txt": (lambda: b"these are words", "unreadable"),
    "ross/cut.jpg": (lambda: OBAMA.read_bytes()[:3000], "unreadable"),
    "ross/again.png": (lambda: cut_out(2), "duplicate"),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each person, with some unusable files."""
    folder = tmp_path_factory.mktemp("photos")
    for name, content in (GOOD | {name: content for name, (content, _) in BAD.items()}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content())
    (folder / "readme.txt").write_text("of nobody")
    os.mkfifo(folder / "biden" / "pipe")
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEMBLANCE_", "RAY_"))}
    return kept | {"SEMBLANCE_HOME": str(tmp_path / "home"), "COLUMNS": "200", "NO_COLOR": "1"}


def write_csv(file: Path, *rows: Sequence[object]) -> Path:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return file


def test_calibrate_writes_what_the_service_reads(
    photos: Path, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "own.json"
    groups = write_csv(
        tmp_path / "groups.csv",
        ("Folder", "Group"),
        ("obama", "presidents"),
        ("biden", "presidents"),
        ("ross", "friends"),
        ("chandler", "friends"),
        ("collins", ""),
        ("nobody", "friends"),
    )
    done = semblance(
        *("models", "calibrate", str(photos), "--groups", str(groups), "--output", str(target)),
        *("--source", "photos of packages"),
        environment=environment,
    )
    assert done.returncode == 0, done.stderr
    calibration = read_calibration(target)
    assert (calibration.people, calibration.photos) == (5, 8)
    assert (calibration.strangers.people_pairs, calibration.strangers.photo_pairs) == (10, 28 - 4)
    assert (calibration.same_person.people, calibration.same_person.photo_pairs) == (2, 4)
    assert calibration.most == 2
    assert calibration.source == "photos of packages"
    assert calibration.digest == describe_pack(Settings()).manifest.digest
    assert {name: group.strangers.people_pairs for name, group in calibration.groups.items()} == {
        "friends": 1,
        "presidents": 1,
    }
    # Everything left out is reported.
    for name, (_, problem) in BAD.items():
        assert name in done.stdout
        assert problem in done.stdout
    assert "biden/pipe" in done.stdout
    assert "1 files outside these folders" in done.stdout
    assert "nobody" in done.stdout
    assert target.stat().st_mode & 0o777 == 0o644
    show_model(Settings(calibration=target), None)
    shown = capsys.readouterr().out
    assert "photos of packages" in shown
    assert "1 in 2 strangers" in shown


def test_evaluate_tells_people_apart_and_shows_the_worst(
    photos: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    names = [*GOOD, "collins/cloth.jpg", "obama/absent.jpg"]
    rows = [
        (
            a,
            b,
            "yes" if a.split("/")[0] == b.split("/")[0] else "no",
            "with obama" if "obama" in a + b else "",
        )
        for place, a in enumerate(names)
        for b in names[:place]
    ]
    pairs = write_csv(
        tmp_path / "pairs.csv",
        ("photo_a", "photo_b", "same", "group", "colour"),
        *((*row, "red") for row in rows),
    )
    sheet = tmp_path / "worst.png"
    done = semblance(
        *("models", "evaluate", str(pairs), "--photos", str(photos), "--sheet", str(sheet), "--json"),
        environment=environment,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["photos_left_out"] == {"no_face": ["collins/cloth.jpg"], "missing": ["obama/absent.jpg"]}
    assert (report["photos"], report["pairs"], report["pairs_left_out"]) == (10, 45, 17)
    overall = report["overall"]
    assert (overall["same"], overall["different"]) == (4, 24)
    assert overall["auc"]["value"] == overall["accuracy"]["value"] == 1
    assert overall["auc"]["low"] < 0.9
    assert [at["false_accept_rate"] for at in overall["at_rates"]] == [0.1]
    assert overall["at_rates"][0]["operating"]["true_accepts"]["value"] == 1
    assert report["groups"].keys() == {"with obama"}
    assert report["groups"]["with obama"]["same"] == 3
    assert "'colour'" in done.stderr
    with Image.open(sheet) as image:
        # Twelve pairs of two people and four of one, four beside each other, each two faces of 112 pixels.
        assert image.width == 4 * (2 * 112 + 12) + 12
        assert image.height == 4 * (112 + 3 * 14 + 12) + 12
        assert len(image.getcolors(maxcolors=1 << 20) or []) > 1000


def test_evaluate_prints_a_table(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = write_csv(
        tmp_path / "pairs.csv",
        ("a", "b", "same"),
        ("obama/1.jpg", "obama/2.jpg", 1),
        ("obama/1.jpg", "biden/1.jpg", 0),
        ("obama/1.jpg", "collins/cloth.jpg", 0),
    )
    with pytest.raises(ConfigurationError, match=r"ends in \.png"):
        evaluate_model(Settings(), pairs, photos, sheet=tmp_path / "absent" / "worst.png", as_json=False)
    # The figures are not lost with the sheet.
    printed = capsys.readouterr().out
    assert "2 of 3 pairs, 3 of 4 photos" in printed
    assert "no_face" in printed
    assert "AUC" in printed


def test_any_pack_can_be_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An InsightFace folder, here with synthetic nets that find a face around a red square."""
    folder = synthetic_pack.pack(tmp_path / "tiny")
    settings = Settings(pack=str(folder), accept_noncommercial=True)
    names = [f"{person}/{number}.png" for person in range(4) for number in range(2)]
    for place, name in enumerate(names):
        # Its embedding reflects only the colour around it.
        image = Image.new("RGB", (640, 640), (40 * (place // 2), 120, 60 + place))
        image.paste((255, 0, 0), (240, 320, 248, 328))
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "photos" / name)
    calibrate_model(settings, tmp_path / "photos", groups=None, source=None, output=None)
    calibration = read_calibration(folder / "calibration.json")
    assert (calibration.people, calibration.photos) == (4, 8)
    assert calibration.digest == describe_pack(settings).manifest.digest
    rows = [(a, b, int(a[0] == b[0])) for place, a in enumerate(names) for b in names[:place]]
    pairs = write_csv(tmp_path / "pairs.csv", ("photo_a", "photo_b", "same"), *rows)
    capsys.readouterr()
    evaluate_model(settings, pairs, tmp_path / "photos", sheet=tmp_path / "worst.jpg", as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert (report["pack"], report["digest"]) == ("tiny", calibration.digest)
    assert report["overall"]["auc"]["value"] > 0.9
    assert (tmp_path / "worst.jpg").read_bytes()[:2] == b"\xff\xd8"


@pytest.mark.photos
def test_the_shipped_pack_distinguishes_the_people_of_the_wide_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """About 300 pairs say nothing about small rates, but well-lit portraits allow no mistake."""
    shown = {path: re.sub(r"-\d+$", "", path.stem) for path in wide_photos.PORTRAITS if "+" not in path.stem}
    rows = [
        (a.relative_to(wide_photos.FOLDER), b.relative_to(wide_photos.FOLDER), int(shown[a] == shown[b]))
        for a, b in combinations(shown, 2)
    ]
    pairs = write_csv(tmp_path / "pairs.csv", ("photo_a", "photo_b", "same"), *rows)
    evaluate_model(Settings(), pairs, wide_photos.FOLDER, sheet=None, as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["photos_left_out"] == {}
    overall = report["overall"]
    assert overall["auc"]["value"] >= 0.999
    assert overall["accuracy"]["value"] >= 0.99
    assert overall["at_rates"][-1]["false_accept_rate"] == 0.01
    assert overall["at_rates"][-1]["operating"]["true_accepts"]["value"] >= 0.95


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("photo_a", "photo_b")], "no column 'same'"),
        ([("x", "y")], "no column 'photo_a' and no column 'photo_b' and no column 'same'"),
        ([], "its first line has nothing"),
        ([("photo_a", "photo_b", "same")], "has no pairs"),
        ([("photo_a", "photo_b", "same"), ("1.jpg", "2.jpg", "perhaps")], "Line 2 .* has 'perhaps'"),
        ([("photo_a", "photo_b", "same"), ("1.jpg", "2.jpg", "")], "Line 2 .* has ''"),
        ([("photo_a", "photo_b", "same"), ("1.jpg", "../2.jpg", "1")], "names '../2.jpg'"),
        ([("photo_a", "photo_b", "same"), ("/1.jpg", "2.jpg", "1")], "names '/1.jpg'"),
        ([("photo_a", "photo_b", "same"), ("1.jpg", "", "1")], "names ''"),
        ([("photo_a", "photo_b", "same"), ("1.jpg", "2\0.jpg", "1")], "names '2"),
        ([("photo_a", "photo_b", "same"), ("1.jpg", "2.jpg")], "Line 2 .* has 2 cells, its first 3"),
    ],
)
def test_an_invalid_file_of_pairs_is_refused(tmp_path: Path, rows: list[tuple[str, ...]], says: str) -> None:
    file = write_csv(tmp_path / "pairs.csv", *rows)
    with pytest.raises(BadInputError, match=says):
        read_pairs(file)


def test_pairs_are_read_as_spreadsheets_write_them(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_bytes(
        "\ufeffPhoto 1,Photo 2,Same Person\r\nä.jpg, b.jpg ,TRUE\r\n\r\nc.jpg,d.jpg,0\r\n".encode()
    )
    found = [(pair.a, pair.b, pair.same, pair.group) for pair in read_pairs(file)]
    assert found == [("ä.jpg", "b.jpg", True, None), ("c.jpg", "d.jpg", False, None)]
    file.write_bytes(b"photo_a,photo_b,same\n\xff,b,1\n")
    with pytest.raises(BadInputError, match="CSV in UTF-8"):
        read_pairs(file)


class TestRefusals:
    """Output and status of `calibrate`."""

    @staticmethod
    def calibrate(folder: Path, **options: Path) -> None:
        chosen = {"groups": None, "output": folder.parent / "made.json"} | options
        calibrate_model(Settings(), folder, source=None, **chosen)

    def test_a_folder_without_folders(self, tmp_path: Path) -> None:
        folder = tmp_path / "photos"
        folder.mkdir()
        (folder / "1.jpg").write_bytes(OBAMA.read_bytes())
        with pytest.raises(BadInputError, match="a folder for each person: photos/ada"):
            self.calibrate(folder)
        assert not (tmp_path / "made.json").exists()

    def test_photos_of_one_person(self, tmp_path: Path) -> None:
        for name in ("ada/1.png", "eve/words.txt"):
            (tmp_path / "photos" / name).parent.mkdir(parents=True)
        (tmp_path / "photos" / "ada" / "1.png").write_bytes(ASTRONAUT.read_bytes())
        (tmp_path / "photos" / "eve" / "words.txt").write_text("words")
        with pytest.raises(BadInputError, match="at least two people"):
            self.calibrate(tmp_path / "photos")
        assert not (tmp_path / "made.json").exists()

    def test_a_person_in_two_groups(self, photos: Path, tmp_path: Path) -> None:
        groups = write_csv(
            tmp_path / "groups.csv", ("folder", "group"), ("obama", "a"), ("obama", "b"), ("biden", "a")
        )
        with pytest.raises(BadInputError, match="'obama' into several groups"):
            self.calibrate(photos, groups=groups)

    def test_a_target_that_cannot_be_written(self, tmp_path: Path) -> None:
        """Refused before the photos are read. There would be too few of them."""
        (tmp_path / "photos" / "ada").mkdir(parents=True)
        (tmp_path / "photos" / "ada" / "1.png").write_bytes(ASTRONAUT.read_bytes())
        with pytest.raises(ConfigurationError, match="--output"):
            self.calibrate(tmp_path / "photos", output=tmp_path / "absent" / "made.json")


@pytest.mark.parametrize("command", ["calibrate", "evaluate"])
def test_the_commands_explain_themselves(command: str) -> None:
    done = CliRunner().invoke(app, ["models", command, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "Examples" in done.stdout
    assert f"semblance models {command}" in done.stdout
