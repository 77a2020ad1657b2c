"""Which tests run where, and what they may depend on."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pytest

from tests.support import photos, wide_photos
from tests.support.gallery import PROBES, make_gallery

TESTS = Path(__file__).parent

pytest_plugins = ["pytester"]

PLUGINS = ("-p", "tests.support.selection")
"""Loaded in a separate process: a run of pytest within this one would disturb its event loop."""


@pytest.fixture
def two_of_three(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of three tests, two of which need missing photos."""
    monkeypatch.setenv("SEMBLANCE_TEST_FACES", str(pytester.path / "faces"))
    # Loading the plugins of all packages takes longer than these tests.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\nmarkers = photos\n")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("photo", [1, pytest.param(2, marks=pytest.mark.photos)])
        def test_one(photo): ...

        @pytest.mark.photos
        def test_other(): ...
        """
    )
    return pytester


LEFT_OUT = "2 tests left out for want of photos: set SEMBLANCE_TEST_FACES to a folder *"


@pytest.mark.parametrize("processes", [[], ["-p", "xdist", "-n", "1"]], ids=["alone", "xdist"])
def test_without_photos_one_line_says_how_many_are_left_out(
    two_of_three: pytest.Pytester, processes: list[str]
) -> None:
    run = two_of_three.runpytest_subprocess(*PLUGINS, *processes)
    run.assert_outcomes(passed=1, deselected=0 if processes else 2)
    run.stdout.fnmatch_lines([LEFT_OUT])
    assert run.ret == pytest.ExitCode.OK


def test_a_run_with_only_omitted_tests_is_empty_and_not_a_failure(two_of_three: pytest.Pytester) -> None:
    run = two_of_three.runpytest_subprocess(*PLUGINS, "-m", "photos")
    run.stdout.fnmatch_lines([LEFT_OUT])
    assert run.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_runs_that_do_not_select_them_do_not_mention_them(two_of_three: pytest.Pytester) -> None:
    run = two_of_three.runpytest_subprocess(*PLUGINS, "-m", "not photos")
    run.stdout.no_fnmatch_line(LEFT_OUT)


def test_with_photos_all_run(two_of_three: pytest.Pytester) -> None:
    (two_of_three.path / "faces" / "celebrities").mkdir(parents=True)
    two_of_three.runpytest_subprocess(*PLUGINS).assert_outcomes(passed=3)


def test_no_test_module_imports_another() -> None:
    for file in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                assert not name.startswith("tests.") or name.startswith("tests.support"), (file, name)


@pytest.mark.parametrize("photo", photos.ALL, ids=lambda path: path.name)
def test_every_packaged_photo_is_there(photo: Path) -> None:
    assert photo.stat().st_size > 1000


def test_no_probe_is_a_file_of_the_gallery(tmp_path: Path) -> None:
    files = [file.read_bytes() for file in make_gallery(tmp_path).rglob("*.*g")]
    digests = [hashlib.sha256(data).digest() for data in (*files, *(made() for _, made in PROBES.values()))]
    assert len(files) == 9
    assert len(set(digests)) == len(digests)


@pytest.mark.photos
def test_the_wide_set_is_what_its_list_says() -> None:
    found = {path for path in wide_photos.FOLDER.rglob("*.*g") if path.suffix in {".jpg", ".jpeg", ".png"}}
    assert found == set(wide_photos.ALL)
