"""`semblance schools` as an operator runs it, and the files it reads."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from db.schools import SchoolNames
from ops.commands.schools.school_file import read_school_file
from semblance.errors import BadInputError
from tests.support.commands import semblance
from tests.support.rows import add_profile

STANFORD = SchoolNames("Stanford University", ["stanford.edu"], ["Stanford", "LSJU"])


def read(tmp_path: Path, text: str | bytes) -> dict[str, SchoolNames | str]:
    file = tmp_path / "schools"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return dict(read_school_file(file).rows)


@pytest.mark.parametrize(
    "text",
    [
        "name,domains,aliases\nStanford University,stanford.edu,Stanford;LSJU\n",
        "\ufeffSchool;Domain;Also known as\r\nStanford University;Stanford.EDU;Stanford|LSJU\r\n",
        'Name\tE-mail domains\tAliases\n"Stanford University"\tstanford.edu\t"Stanford\nLSJU"\n',
        '[{"name": "Stanford University", "domains": ["stanford.edu"], "aliases": ["Stanford", "LSJU"]}]',
        '{"university": "Stanford University", "domain": "stanford.edu", "alias": ["Stanford", "LSJU"]}\n\n',
    ],
)  # fmt: skip
def test_a_school_is_read_in_every_notation(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == {"Stanford University": STANFORD}


def test_fields_without_a_column_are_kept(tmp_path: Path) -> None:
    assert read(tmp_path, "name\nMIT\n") == {"MIT": SchoolNames("MIT")}
    assert read(tmp_path, 'name,aliases\n"University of California, Berkeley",\n') == {
        "University of California, Berkeley": SchoolNames("University of California, Berkeley", None, [])
    }


def test_invalid_rows_are_reported_and_the_others_imported(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        "name,domains,aliases\nA,a.edu,\n,b.edu,\nC,ac.uk,\nD,d,\nE,,a\nF,A.edu,\nG,,\x07\nH,h.edu,H\n",
    )
    assert rows["A"] == SchoolNames("A", ["a.edu"], [])
    assert rows["H"] == SchoolNames("H", ["h.edu"], ["H"])
    said = {label: row for label, row in rows.items() if isinstance(row, str)}
    assert said.keys() == {"row 2", "C", "D", "E", "F", "G"}
    assert "belongs to 'A' above" in said["E"] and "belongs to 'A' above" in said["F"]


@pytest.mark.parametrize(
    "text", ["title,domains\nA,a.edu\n", "[1]", "[{", "{\n}", "name\nA,b\n", b"name\n\xff\n"]
)
def test_an_unusable_file_is_explained(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(BadInputError):
        read(tmp_path, text)


def test_unused_columns_are_named(tmp_path: Path) -> None:
    file = tmp_path / "schools.csv"
    file.write_text("name,aliasses\nMIT,x\n")
    [remark] = read_school_file(file).remarks
    assert "'aliasses'" in remark and "'aliases'" in remark


def test_import_and_list(dsn: str, service_dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "schools.csv"
    file.write_text("name,domains,aliases\nMassachusetts,mit.edu,MIT\nYale,yale.edu,mit\nCMU,cmu.edu,\n")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for school in ("MIT", "mit.edu", "Yale"):
            add_profile(connection, school=school)

        def run(*arguments: str) -> tuple[int, str]:
            environment = {
                name: value for name, value in os.environ.items() if not name.startswith("SEMBLANCE_")
            }
            environment |= {"SEMBLANCE_HOME": str(tmp_path / "home"), "SEMBLANCE_DATABASE_URL": service_dsn}
            environment |= {"COLUMNS": "120", "NO_COLOR": "1"}
            done = semblance("schools", *arguments, environment=environment)
            assert "Traceback" not in done.stderr
            return done.returncode, done.stdout

        status, said = run("import", str(file), "--dry-run")
        assert status == 1
        assert "2 added, 0 changed, 0 unchanged, 1 not taken" in " ".join(said.split())
        assert "2 users would be matched again" in said
        assert connection.execute("SELECT count(*) FROM schools").fetchone() == (0,)

        status, said = run("import", str(file))
        assert (status, "2 users are matched again" in said) == (1, True)
        assert "not taken" in said and "Massachusetts" in said
        assert connection.execute("SELECT count(*) FROM schools").fetchone() == (2,)

        status, said = run("list")
        assert status == 0
        assert all(shown in said for shown in ("Massachusetts", "mit.edu", "MIT", "CMU"))
        status, said = run("list", "--unknown")
        assert (status, "Yale" in said, "MIT" in said) == (0, True, False)
