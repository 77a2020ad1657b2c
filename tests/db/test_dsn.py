"""One reading of a DSN for both drivers: both accept an option, or both refuse it by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from db.dsn import HARMLESS, LEFT_OUT, TAKEN, masked_dsn, parse_dsn
from db.migrate import check_server
from db.pool import Database
from semblance.errors import ConfigurationError

OPTIONS = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
"""Every option that the libpq of psycopg knows."""

# A value of each option that both drivers take, on the embedded server's socket. Some are files.
WORKING = {
    "application_name": "semblance tests",
    "channel_binding": "prefer",
    "client_encoding": "UTF8",
    "connect_timeout": "5",
    "fallback_application_name": "other",
    "gssdelegation": "0",
    "gssencmode": "disable",
    "gsslib": "gssapi",
    "keepalives": "1",
    "keepalives_count": "3",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "krbsrvname": "postgres",
    "load_balance_hosts": "random",
    "max_protocol_version": "latest",
    "min_protocol_version": "3.0",
    "options": "-c statement_timeout=4321",
    "passfile": "/nowhere/pgpass",
    "password": "p@ss/word#1 %&",
    "replication": "false",
    "ssl_max_protocol_version": "TLSv1.3",
    "ssl_min_protocol_version": "TLSv1.2",
    "sslcert": "CERTIFICATE",
    "sslcertmode": "allow",
    "sslcompression": "0",
    "sslkey": "KEY",
    "sslkeylogfile": "/nowhere/keys",
    "sslmode": "prefer",
    "sslnegotiation": "postgres",
    "sslpassword": "unused",
    "sslrootcert": "CERTIFICATE",
    "sslsni": "1",
    "target_session_attrs": "read-write",
    "tcp_user_timeout": "10000",
}
# Options that every DSN of these tests has, and options that lead away from the socket.
ELSEWHERE = {"host", "hostaddr", "port", "user", "dbname", "service", "sslcrl"}

REFUSED = {
    "channel_binding": "require",
    "gssdelegation": "1",
    "gssencmode": "require",
    "min_protocol_version": "3.2",
    "oauth_client_id": "x",
    "oauth_client_secret": "hunter2",
    "oauth_issuer": "https://idp.example",
    "oauth_scope": "x",
    "replication": "database",
    "require_auth": "scram-sha-256",
    "requirepeer": "postgres",
    "scram_client_key": "hunter2",
    "scram_server_key": "hunter2",
    "sslcertmode": "require",
    "sslcrldir": "/etc/crl",
    "sslsni": "0",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A self-signed certificate and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "semblance")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"CERTIFICATE": str(folder / "cert.pem"), "KEY": str(folder / "key.pem")}


def test_every_option_of_libpq_has_a_rule() -> None:
    assert set.union(set(TAKEN), LEFT_OUT, HARMLESS) == OPTIONS
    assert not TAKEN & LEFT_OUT
    assert not (TAKEN | LEFT_OUT) & HARMLESS.keys()
    assert set(HARMLESS) == REFUSED.keys()


def test_every_option_is_tried() -> None:
    assert set(WORKING | REFUSED) == OPTIONS - ELSEWHERE


@pytest.mark.parametrize("option", sorted(WORKING))
async def test_what_migrates_also_serves(postgres: str, files: dict[str, str], option: str) -> None:
    given = f"{postgres}&{option}={quote(files.get(WORKING[option], WORKING[option]))}"
    if option in {"sslcert", "sslkey"}:
        given = f"{postgres}&sslmode=prefer&sslcert={files['CERTIFICATE']}&sslkey={files['KEY']}"
    check_server(given)
    database = await Database.connect(given, pool_size=1)
    try:
        await database.ping()
        if option == "options":
            assert await database.fetchval("SHOW statement_timeout") == "4321ms"
        if option.endswith("application_name"):
            assert await database.fetchval("SHOW application_name") == WORKING[option]
    finally:
        await database.close()


@pytest.mark.parametrize("option", sorted(REFUSED))
async def test_what_cannot_be_honoured_is_refused_by_name_for_both(option: str) -> None:
    given = f"postgresql://u@h/db?{option}={quote(REFUSED[option])}"
    with pytest.raises(ConfigurationError, match=rf"SEMBLANCE_DATABASE_URL.*{option}") as served:
        await Database.connect(given)
    with pytest.raises(ConfigurationError) as migrated:
        check_server(given)
    assert served.value.message == migrated.value.message
    assert "eave it out" in served.value.message
    assert "hunter2" not in served.value.message


@pytest.mark.parametrize(
    "password",
    ["p@ss/word#1", "p@ss", "pa/ss", "pa/s@s", "50%off", "100%", "two words", "a:b/c", "@", "/", "x@y@z"],
)
def test_a_password_that_is_not_encoded_is_told_so_and_not_quoted(password: str) -> None:
    with pytest.raises(ConfigurationError, match="%40") as caught:
        parse_dsn(f"postgresql://user:{password}@host/name")
    assert len(password) == 1 or password not in caught.value.message
    assert caught.value.__cause__ is None
    assert parse_dsn(f"postgresql://user:{quote(password, safe='')}@host/name").for_asyncpg()["password"] == (
        password
    )


@pytest.mark.parametrize("password", ["p#1", "a?b", "a:b", "ünïcode", "a%40b"])
def test_both_drivers_read_the_same_password(password: str) -> None:
    read = parse_dsn(f"postgresql://user:{password}@host/name")
    assert read.for_asyncpg()["password"] == conninfo_to_dict(read.for_psycopg())["password"]
    assert read.for_asyncpg()["host"] == ["host"]


@pytest.mark.parametrize(
    ("text", "hosts", "ports"),
    [
        ("postgresql://u@h/db", ["h"], [5432]),
        ("postgresql://u@h:6543/db", ["h"], [6543]),
        ("postgresql://u@[2001:db8::1]:5433/db", ["2001:db8::1"], [5433]),
        ("postgresql://u@a:1,b:2,[::1]:3/db", ["a", "b", "::1"], [1, 2, 3]),
        ("postgresql://u@a,b/db", ["a", "b"], [5432, 5432]),
        ("postgresql://u@/db?host=a,b&port=7", ["a", "b"], [7, 7]),
        ("postgresql://u@/db?host=/run/one,/run/two", ["/run/one", "/run/two"], [5432, 5432]),
        ("postgresql://u@%2Frun%2Fpostgresql/db", ["/run/postgresql"], [5432]),
        ("host=h port=1 user=u dbname=db", ["h"], [1]),
        ("postgresql://u@name/db?hostaddr=192.0.2.1", ["192.0.2.1"], [5432]),
        ("postgresql:///db", None, None),
    ],
)
def test_hosts(text: str, hosts: list[str] | None, ports: list[int] | None) -> None:
    arguments = parse_dsn(text).for_asyncpg()
    assert (arguments.get("host"), arguments.get("port")) == (hosts, ports)
    assert arguments["database"] == "db"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "postgresql://"),
        ("nonsense", "postgresql://"),
        ("mysql://u@h/db", "postgresql://"),
        ("postgresql+asyncpg://u@h/db", "postgresql://"),
        ("postgresql://u@h:99999/db", "65535"),
        ("postgresql://u@h:many/db", "whole numbers"),
        ("postgresql://u@a:1,b:2/db?host=c", "2 ports for 1 hosts"),
        ("postgresql://u@h/db?connect_timeout=soon", "connect_timeout"),
        ("postgresql://u@h/db?statement_timeout=5", "options=-c%20statement_timeout%3Dvalue"),
        ("postgresql://u@h/db?sslrootcert=/nowhere.pem", "sslrootcert=/nowhere.pem is not a file"),
        ("postgresql://u@h/db?sslrootcert=system&sslmode=require", "verify-full"),
        ("postgresql://u@h/db?hostaddr=192.0.2.1&sslmode=verify-full", "hostaddr"),
        ("postgresql://u@a,/db", "each host"),
        ("service=nowhere", "PGSERVICEFILE"),
    ],
)
def test_what_is_wrong_is_named(text: str, names: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_dsn(text, "SEMBLANCE_OWNER_DATABASE_URL")
    assert names in caught.value.message
    assert "SEMBLANCE_OWNER_DATABASE_URL" in caught.value.message


def test_the_systems_authorities_check_name_and_certificate() -> None:
    context = parse_dsn("postgresql://u@h/db?sslrootcert=system").for_asyncpg()["ssl"]
    assert context.check_hostname


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("sslcrl", "CERTIFICATE"),
        ("sslnegotiation", "direct"),
        ("ssl_min_protocol_version", "TLSv1.3"),
        ("ssl_max_protocol_version", "TLSv1.2"),
    ],
)
def test_what_cannot_be_honoured_with_the_systems_authorities_is_refused_by_name(
    files: dict[str, str], option: str, value: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} with sslrootcert=system"):
        parse_dsn(f"postgresql://u@h/db?sslrootcert=system&{option}={quote(files.get(value, value))}")


@pytest.mark.parametrize("option", sorted(OPTIONS - {"host", "user", "dbname"}))
def test_an_empty_option_is_unset_for_both(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, empty = (parse_dsn(f"postgresql://u@h/db{query}") for query in ("", f"?{option}="))
    assert empty.for_asyncpg() == plain.for_asyncpg()
    assert empty.for_psycopg() == plain.for_psycopg()
    (tmp_path / "services.conf").write_text(f"[s]\nhost=h\nuser=u\ndbname=db\n{option}=\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services.conf"))
    assert parse_dsn("service=s").for_asyncpg() == plain.for_asyncpg()


async def test_a_service_is_resolved_for_both(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = {**conninfo_to_dict(postgres), "connect_timeout": "5"}
    section = "\n".join(f"{name}={value}" for name, value in parameters.items())
    (tmp_path / "services.conf").write_text(
        f"[semblance]\n{section}\n[bound]\nhost=h\nchannel_binding=require\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services.conf"))
    check_server("service=semblance")
    database = await Database.connect("postgresql://?service=semblance", pool_size=1)
    await database.close()
    with pytest.raises(ConfigurationError, match="channel_binding"):
        parse_dsn("service=bound")


def test_a_timeout_holds_for_each_host() -> None:
    for text, seconds in (
        ("postgresql://a,b/db?connect_timeout=7", 14),
        ("postgresql://a/db", 10),
        ("postgresql://a/db?connect_timeout=0", None),
    ):
        assert parse_dsn(text).for_asyncpg()["timeout"] == seconds
    assert conninfo_to_dict(parse_dsn("postgresql://a/db").for_psycopg())["connect_timeout"] == "10"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:hunter2@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:hunt%40er2@h:1/db?sslmode=require", "postgresql://u:***@h:1/db?sslmode=require"),
        ("postgresql://u@/db?host=/run&password=hunter2", "postgresql://u@/db?host=/run&password=***"),
        ("postgresql://u@h/db?sslpassword=hunter2&port=1", "postgresql://u@h/db?sslpassword=***&port=1"),
        ("postgresql://u@/db?host=/run", "postgresql://u@/db?host=/run"),
        ("host=h user=u", "host=h user=u"),
        ("host=h password='hunt er2' user=u", "host=h password=*** user=u"),
        ("postgresql://u@/db?host=/run&p%61ssword=hunter2", "postgresql://u@/db?host=/run&p%61ssword=***"),
        ("postgresql://u@h/db?ssl%70assword=hunter2&port=1", "postgresql://u@h/db?ssl%70assword=***&port=1"),
        ("postgresql://u:hun@ter2@h/db", "***"),
        ("hunter2", "***"),
    ],
)
def test_a_dsn_is_shown_without_its_secrets(text: str, shown: str) -> None:
    assert sorted(masked_dsn(text).split()) == sorted(shown.split())
