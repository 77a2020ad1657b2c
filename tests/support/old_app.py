"""The old app's database: its schema by the documents' SQL, a thousand users, and the app itself, as the
statements that its routes and its clients in the browser send."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from tests.support.postgres import on_database

_SCHEMA = Path(__file__).with_suffix(".sql")
_TEMPLATE = "old_app_template"


class KilledError(Exception):
    """Ends an adoption half way."""


@pytest.fixture(scope="session")
def old_app_template(postgres: str) -> str:
    """Name of a database to copy."""
    with psycopg.connect(on_database(postgres, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template1")
        connection.execute(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN"
            " CREATE ROLE service_role NOLOGIN BYPASSRLS; END IF; END $$"
        )
    with psycopg.connect(on_database(postgres, _TEMPLATE)) as connection:
        connection.execute(_SCHEMA.read_bytes())
    with psycopg.connect(on_database(postgres, _TEMPLATE), autocommit=True) as connection:
        connection.execute("ANALYZE")
    return _TEMPLATE


@pytest.fixture
def old_app_dsn(old_app_template: str, make_database: Callable[[str], str]) -> str:
    """DSN of the owner of a new database of the old app."""
    return make_database(old_app_template)


def number(kind: str, n: int) -> UUID:
    """The id of a row of the fixture: user, face, match, chat, message, notification, celebrity, baby."""
    return UUID(hashlib.md5(f"{kind}{n}".encode(), usedforsecurity=False).hexdigest())


VECTOR = "[" + ",".join(["1"] * 512) + "]"


def early(extension: str) -> str:
    """The old app before Supabase Vector: five tables, no roles, no policies."""
    return f"""
        {extension}
        CREATE TABLE profiles (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(), profile_type text, name text, email text,
            gender text, school text, default_face_id uuid, created_at timestamp DEFAULT now()
        );
        CREATE TABLE faces (
            id uuid PRIMARY KEY, profile_id uuid, image_path text NOT NULL, qdrant_point_id uuid,
            image_hash text, created_at timestamp DEFAULT now()
        );
        CREATE TABLE matches (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(), face_a_id uuid NOT NULL, face_b_id uuid NOT NULL,
            similarity_score numeric, created_at timestamptz
        );
        CREATE TABLE reactions (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_profile_id uuid NOT NULL,
            match_id uuid NOT NULL, reaction_type text, created_at timestamptz,
            CONSTRAINT reactions_match_user UNIQUE (match_id, user_profile_id)
        );
        CREATE TABLE babies (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(), match_id uuid NOT NULL, image_url varchar NOT NULL,
            created_at timestamptz
        );
        INSERT INTO profiles (id, profile_type, name) VALUES
            ('00000000-0000-0000-0000-000000000001', 'user', 'Ada'),
            ('00000000-0000-0000-0000-000000000002', 'Celebrity', 'Bob');
        INSERT INTO faces (id, profile_id, image_path, image_hash) VALUES
            ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-000000000001', 'a.jpg', 'h'),
            ('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-000000000001', 'a.jpg', 'h'),
            ('00000000-0000-0000-0000-00000000000c', '00000000-0000-0000-0000-000000000002', 'c.jpg', 'c'),
            ('00000000-0000-0000-0000-00000000000d', '00000000-0000-0000-0000-0000000000ff', 'd.jpg', 'd');
        INSERT INTO matches (face_a_id, face_b_id, similarity_score) VALUES
            ('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-00000000000a', .75);
        INSERT INTO babies (match_id, image_url) SELECT id, 'x.jpg' FROM matches;
    """


class OldApp:
    """The app on one connection. Every method is a route or a screen, and fails as the app would."""

    def __init__(self, dsn: str, made: int = 0) -> None:
        """made: what it has created before, so that it creates something else."""
        # As PostgREST does, whose statements return all columns as JSON.
        self._connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
        self._connection.execute("SET search_path = public, extensions")
        self._made = made
        self.faces: list[UUID] = []
        self.likes: list[tuple[UUID, UUID]] = []
        self.messages: list[UUID] = []
        self.connections: list[UUID] = []

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _as(self, role: str, user: UUID | None = None) -> Iterator[psycopg.Connection]:
        with self._connection.transaction():
            self._connection.execute(f"SET LOCAL ROLE {role}")
            if user is not None:
                self._connection.execute(
                    "SELECT set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{user}"}}']
                )
            yield self._connection

    def upload(self) -> UUID:
        """POST /api/faces, and the trigger's job."""
        self._made += 1
        user = number("user", 1 + self._made % 1000)
        with self._as("service_role") as connection:
            row = connection.execute(
                "INSERT INTO faces (profile_id, image_path, embedding, image_hash) VALUES (%s, %s, %s, %s)"
                " RETURNING id",
                [user, f"{user}/new.jpg", VECTOR, f"new {self._made}"],
            ).fetchone()
            assert row is not None
            face: UUID = row[0]
            jobs = connection.execute("SELECT count(*) FROM match_jobs WHERE face_id = %s", [face]).fetchone()
            assert jobs == (1,)
        self.faces.append(face)
        return face

    def match(self, *, reversed_too: bool = True) -> None:
        """The worker searches, writes matches in both directions, and records the end of the job."""
        face, other = self.faces[-1], number("face", 2 * (1 + self._made % 1000))
        with self._as("service_role") as connection:
            connection.execute(
                "SELECT * FROM find_similar_faces(query_embedding => %s, match_threshold => 0.5,"
                " match_count => 3)",
                [VECTOR],
            ).fetchall()
            for one, two in [(face, other), (other, face)][: 1 + reversed_too]:
                connection.execute(
                    "INSERT INTO matches (face_a_id, face_b_id, similarity_score) VALUES (%s, %s, %s)",
                    [one, two, -0.1 if self._made % 2 else 0.7],
                )
            connection.execute(
                "UPDATE match_jobs SET status = 'completed', completed_at = now() WHERE face_id = %s", [face]
            )
            connection.execute("UPDATE faces SET age = 30, gender = 'M' WHERE id = %s", [face])

    def feed(self) -> None:
        """GET /api/matches/top"""
        with self._as("service_role") as connection:
            rows = connection.execute(
                "SELECT m.*, fa.image_path, pa.name FROM matches m JOIN faces fa ON m.face_a_id = fa.id"
                " JOIN faces fb ON m.face_b_id = fb.id JOIN profiles pa ON fa.profile_id = pa.id"
                " ORDER BY m.created_at DESC LIMIT 20"
            ).fetchall()
            assert len(rows) == 20

    def like(self) -> None:
        """A tap in the browser, on a match that the page has shown for a while."""
        self._made += 1
        n = 1 + self._made % 190
        user, match = number("user", 500 + self._made % 400), number("match", 10000 + n)
        with self._as("authenticated", user) as connection:
            connection.execute(
                "INSERT INTO reactions (user_profile_id, match_id, reaction_type) VALUES (%s, %s, 'like')"
                " ON CONFLICT DO NOTHING",
                [user, match],
            )
        self.likes.append((user, match))

    def chat(self) -> None:
        """Reading in the browser, and a message. The page of a duplicate chat stays open."""
        self._made += 1
        n = 1 + self._made % 10
        user, chat = number("user", n), number("chat", 1000 + n)
        with self._as("authenticated", user) as connection:
            connection.execute(
                "SELECT * FROM messages WHERE connection_id = %s", [number("chat", n)]
            ).fetchall()
            connection.execute(
                "SELECT id, name, school FROM profiles WHERE id = %s", [number("user", n + 200)]
            ).fetchall()
        with self._as("service_role") as connection:
            row = connection.execute(
                "INSERT INTO messages (connection_id, sender_id, content) VALUES (%s, %s, 'new')"
                " RETURNING id",
                [chat, user],
            ).fetchone()
            assert row is not None
            self.messages.append(row[0])

    def profile(self) -> None:
        """PATCH /api/auth/me, and presence."""
        self._made += 1
        user = number("user", 1 + self._made % 1000)
        with self._as("service_role") as connection:
            connection.execute(
                "UPDATE profiles SET name = 'Jane Doe', gender = 'Female', updated_at = now() WHERE id = %s",
                [user],
            )
        with self._as("authenticated", user) as connection:
            assert (
                connection.execute("UPDATE profiles SET school = 'Stanford' WHERE id = %s", [user]).rowcount
                == 1
            )

    def sign_up(self) -> None:
        """Supabase makes an account, and the trigger its profile."""
        self._made += 1
        email = f"new{self._made}@mit.edu"
        self._connection.execute(
            "INSERT INTO auth.users VALUES (gen_random_uuid(), %s, %s)", [email, '{"name": "New"}']
        )
        found = self._connection.execute(
            "SELECT name, profile_type FROM profiles WHERE email = %s", [email]
        ).fetchall()
        assert found == [("New", "user")]

    def admin(self) -> None:
        """Other writes: settings, celebrities, logs of the other plan, a job of the old queue."""
        self._made += 1
        with self._as("service_role") as connection:
            connection.execute("UPDATE system_settings SET value = '0.6' WHERE key = 'match_threshold'")
            connection.execute(
                "INSERT INTO celebrities (name, image_path, image_hash, embedding)"
                " VALUES ('New', 'n.jpg', %s, %s)",
                [f"celebrity {self._made}", VECTOR],
            )
            connection.execute("INSERT INTO generation_logs (status, error) VALUES ('error', 'late')")
            connection.execute("INSERT INTO jobs (type) VALUES ('celebrity_match')")

    def everything(self) -> None:
        """Everything once."""
        self.upload()
        self.match()
        self.feed()
        self.like()
        self.chat()
        self.profile()
        self.sign_up()
        self.admin()
