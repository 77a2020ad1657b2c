"""The DSN of the settings, read once by libpq's own parser, for both drivers.

psycopg passes a DSN to libpq. asyncpg parses it itself, knows half of the options, and sends the other half
to the server, which refuses the connection. Here each option of libpq is either translated for asyncpg, left
out if that changes nothing that matters, or refused for both, so that a DSN that migrates also serves.
"""

from __future__ import annotations

import configparser
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from semblance.errors import ConfigurationError

DATABASE_SETTING: Final = "SEMBLANCE_DATABASE_URL"

CONNECT_SECONDS: Final = 10
"""Time for one host if the DSN has no `connect_timeout`."""

FORM: Final = "postgresql://user:password@host/name"

ENCODING_HINT: Final = (
    "In a user name or password write % as %25, @ as %40, / as %2F, : as %3A, # as %23, ? as %3F and a blank "
    "as %20."
)

TAKEN: Final = frozenset(
    {
        *("host", "hostaddr", "port", "user", "password", "dbname", "passfile", "service"),
        *("connect_timeout", "options", "application_name", "fallback_application_name"),
        *("target_session_attrs", "krbsrvname", "gsslib"),
        *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version"),
    }
)
"""Options that both drivers honour."""

LEFT_OUT: Final = frozenset(
    {
        # Both drivers speak UTF-8.
        "client_encoding",
        # The kernel's defaults apply to asyncpg; connections are checked anyway.
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
        # Hosts are tried in order.
        "load_balance_hosts",
        # Removed from TLS, and for debugging only.
        *("sslcompression", "sslkeylogfile"),
        # No wire protocol above 3.0 is requested.
        "max_protocol_version",
    }
)
"""Options that can be left out: the same server is reached, as safely, without them."""

HARMLESS: Final[Mapping[str, frozenset[str]]] = {
    "channel_binding": frozenset({"prefer", "disable"}),
    "gssencmode": frozenset({"prefer", "disable"}),
    "gssdelegation": frozenset({"0"}),
    "min_protocol_version": frozenset({"3.0"}),
    "replication": frozenset({"false", "off", "no", "0"}),
    "sslcertmode": frozenset({"allow", "disable"}),
    "sslsni": frozenset({"1"}),
    "requirepeer": frozenset(),
    "require_auth": frozenset(),
    "sslcrldir": frozenset(),
    "scram_client_key": frozenset(),
    "scram_server_key": frozenset(),
    "oauth_issuer": frozenset(),
    "oauth_client_id": frozenset(),
    "oauth_client_secret": frozenset(),
    "oauth_scope": frozenset(),
}
"""Options that asyncpg cannot honour, and the values that change nothing."""

_SECRETS: Final = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
_NOT_WITH_SYSTEM: Final = ("sslcrl", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version")
"""Options that asyncpg takes only without an SSL context."""
_TLS_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_TLS: Final = (
    *("sslmode", "sslpassword", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version"),
    *_TLS_FILES,
)
_MASK: Final = "***"
_PASSWORD_OF_URI = re.compile(r"^(\w+://[^:@/]*:)[^@/]*(?=@)")
_OPTION_OF_QUERY = re.compile(r"([?&]([^?&=]*)=)[^&]*")


@dataclass(frozen=True, slots=True, repr=False)
class Dsn:
    """Where the database is and how to log in. parameters: libpq's options by name, decoded."""

    parameters: Mapping[str, str]
    setting: str

    @property
    def ports(self) -> tuple[int, ...]:
        """One for each host, or one for all of them; 5432 by default."""
        return tuple(int(port or 5432) for port in self.parameters.get("port", "").split(","))

    @property
    def hosts(self) -> tuple[str, ...]:
        """Addresses, names and socket folders in the order in which they are tried; empty for the default."""
        given = self.parameters.get("hostaddr") or self.parameters.get("host")
        return tuple(given.split(",")) if given else ()

    def for_psycopg(self) -> str:
        """For `psycopg.connect`."""
        return make_conninfo(**{"connect_timeout": str(CONNECT_SECONDS), **self.parameters})

    def for_asyncpg(self) -> dict[str, Any]:
        """Arguments of `asyncpg.connect`. Raises ConfigurationError if a certificate cannot be read."""
        given = self.parameters
        arguments: dict[str, Any] = {
            name: given[option]
            for name, option in (
                *(("user", "user"), ("password", "password"), ("database", "dbname")),
                *(("passfile", "passfile"), ("target_session_attrs", "target_session_attrs")),
                *(("krbsrvname", "krbsrvname"), ("gsslib", "gsslib")),
            )
            if option in given
        }
        if self.hosts:
            arguments["host"] = list(self.hosts)
            # As in libpq, one port may count for all hosts.
            ports = self.ports
            arguments["port"] = list(ports if len(ports) > 1 else ports * len(self.hosts))
        elif "port" in given:
            arguments["port"] = self.ports[0]
        seconds = int(given.get("connect_timeout", CONNECT_SECONDS))
        # libpq counts for each host, asyncpg for all together.
        arguments["timeout"] = seconds * max(1, len(self.hosts)) if seconds > 0 else None
        arguments["server_settings"] = self._server_settings()
        return {**arguments, **self._tls()}

    def _server_settings(self) -> dict[str, str]:
        settings = {}
        if name := self.parameters.get("application_name", self.parameters.get("fallback_application_name")):
            settings["application_name"] = name
        if options := self.parameters.get("options"):
            # Goes unchanged into the first message, as from libpq, and the server parses it.
            settings["options"] = options
        return settings

    def _tls(self) -> dict[str, Any]:
        given = {name: self.parameters[name] for name in _TLS if name in self.parameters}
        if given.get("sslrootcert") != "system":
            # asyncpg takes these only in a DSN.
            return {"dsn": f"postgresql://?{urlencode(given)}"} if given else {}
        context = ssl.create_default_context()
        if certificate := given.get("sslcert"):
            try:
                context.load_cert_chain(certificate, given.get("sslkey"), given.get("sslpassword", ""))
            except (OSError, ssl.SSLError) as exc:
                raise ConfigurationError(
                    f"{self.setting}: the certificate of sslcert={certificate} cannot be used: {exc}"
                ) from exc
        return {"ssl": context}


def parse_dsn(text: str, setting: str = DATABASE_SETTING) -> Dsn:
    """Read a DSN, as a URI or as libpq's `name=value` pairs.

    Args:
        setting: the setting's name, for error messages.

    Raises ConfigurationError, which never quotes a secret, for an invalid DSN, and for an option that one of
    the drivers cannot honour.
    """
    if _has_bare_at(text):
        raise ConfigurationError(
            f"{setting} has a bare @ behind its host: the user name or password is not percent-encoded. "
            + ENCODING_HINT
        )
    try:
        given = conninfo_to_dict(text)
    except psycopg.ProgrammingError as exc:
        # Without its cause, which quotes the DSN and with it the password.
        raise ConfigurationError(f"{setting} {_problem(str(exc))}") from None
    parameters = _set(given)
    if "service" in parameters:
        parameters = {**_set(_service(parameters.pop("service"), setting)), **parameters}
    if not parameters:
        raise ConfigurationError(f"{setting} is not a PostgreSQL DSN: {FORM}.")
    _check(parameters, setting)
    kept = {name: value for name, value in parameters.items() if name in TAKEN}
    return Dsn(kept, setting)


def _set(options: Mapping[str, Any]) -> dict[str, str]:
    """Without empty options, which libpq takes for unset in some places and for errors in others."""
    return {name: str(value) for name, value in options.items() if value != ""}


def masked_dsn(text: str) -> str:
    """The DSN with stars in place of its secrets."""
    try:
        parameters = conninfo_to_dict(text)
    except psycopg.ProgrammingError:
        return _MASK
    if _has_bare_at(text):
        return _MASK
    if "://" in text:
        hidden = _PASSWORD_OF_URI.sub(rf"\g<1>{_MASK}", text)
        # libpq decodes the names of options too.
        return _OPTION_OF_QUERY.sub(
            lambda option: option[1] + _MASK if unquote(option[2]) in _SECRETS else option[0], hidden
        )
    secrets = dict.fromkeys(parameters.keys() & set(_SECRETS), _MASK)
    return make_conninfo(text, **secrets) if secrets else text


def _has_bare_at(text: str) -> bool:
    """Whether an @ follows the host of a URI. libpq takes the first @ for the end of the password, and a
    slash before it for the end of the host, so such a DSN leads to an unintended host."""
    scheme, separator, rest = text.partition("://")
    if not separator or not scheme.isalpha():
        return False
    login = re.match(r"[^@/]*@", rest)
    behind = rest[login.end() :] if login else rest
    return "@" in behind.partition("?")[0]


def _problem(message: str) -> str:
    """Libpq's error message about a DSN, as the rest of a sentence, without the part that it quotes."""
    if option := re.match(r'invalid (?:URI query parameter: |connection option )"(\w+)"', message):
        return (
            f"has the option {option[1]}, which PostgreSQL's clients do not know. Settings of the server go "
            f"into options=-c%20{option[1]}%3Dvalue."
        )
    if message.startswith(("invalid percent-encoded", "forbidden value", "unexpected spaces")):
        return f"is not percent-encoded. {ENCODING_HINT}"
    return f"is not a PostgreSQL DSN: {FORM}. {ENCODING_HINT}"


def _check(parameters: Mapping[str, str], setting: str) -> None:
    for name, value in parameters.items():
        if name in HARMLESS and value not in HARMLESS[name]:
            instead = " or ".join(sorted(HARMLESS[name]))
            raise ConfigurationError(
                f"{setting}: the service cannot honour {name}{'' if name in _SECRETS else f'={value}'}. "
                f"{f'Set it to {instead}, or leave it out' if instead else 'Leave it out'}."
            )
    try:
        ports = [int(port) for port in parameters.get("port", "").split(",") if port]
        int(parameters.get("connect_timeout", 0))
    except ValueError:
        # The value may be a part of a password.
        raise ConfigurationError(
            f"{setting}: port and connect_timeout are whole numbers. {ENCODING_HINT}"
        ) from None
    if not all(0 < port < 65536 for port in ports):
        raise ConfigurationError(f"{setting}: a port is a number from 1 to 65535.")
    _check_hosts(parameters, len(parameters.get("port", "").split(",")), setting)
    from_system = parameters.get("sslrootcert") == "system"
    if from_system and parameters.get("sslmode", "verify-full") != "verify-full":
        raise ConfigurationError(f"{setting}: sslrootcert=system needs sslmode=verify-full.")
    for name in _NOT_WITH_SYSTEM if from_system else ():
        if name in parameters:
            raise ConfigurationError(
                f"{setting}: the service cannot honour {name} with sslrootcert=system. Leave it out, or "
                "name a file of authorities with sslrootcert."
            )
    for name in _TLS_FILES:
        file = parameters.get(name)
        if file and not (name == "sslrootcert" and from_system) and not Path(file).is_file():
            raise ConfigurationError(f"{setting}: {name}={file} is not a file.")


def _check_hosts(parameters: Mapping[str, str], ports: int, setting: str) -> None:
    hosts, addresses = (parameters.get(name, "") for name in ("host", "hostaddr"))
    number = len((addresses or hosts).split(","))
    if addresses and hosts and len(hosts.split(",")) != number:
        raise ConfigurationError(f"{setting}: host and hostaddr name different numbers of hosts.")
    if ports not in {1, number}:
        raise ConfigurationError(f"{setting}: {ports} ports for {number} hosts; name one, or one for each.")
    if any(not host or host.startswith("@") for host in (addresses or hosts).split(",")) and (
        addresses or hosts
    ):
        raise ConfigurationError(f"{setting}: each host is a name, an address or a socket's folder.")
    if addresses and hosts and parameters.get("sslmode") == "verify-full":
        # asyncpg compares the certificate with the address it connects to.
        raise ConfigurationError(
            f"{setting}: hostaddr with sslmode=verify-full cannot be honoured. Leave hostaddr out, and let "
            "the name of host lead to the address."
        )


def _service(name: str, setting: str) -> dict[str, str]:
    """The options of a section of the connection service file, which libpq reads fully and asyncpg in part
    (PostgreSQL's documentation, "The Connection Service File")."""
    places = [
        Path(os.environ.get("PGSERVICEFILE") or Path.home() / ".pg_service.conf"),
        *(Path(folder) / "pg_service.conf" for folder in [os.environ.get("PGSYSCONFDIR")] if folder),
    ]
    for place in places:
        file = configparser.RawConfigParser(strict=False)
        try:
            file.read_string(place.read_text())
        except (OSError, configparser.Error):
            continue
        if name in file:
            return dict(file[name])
    raise ConfigurationError(
        f"{setting}: no service {name} in {' or '.join(map(str, places))}. Name the file with PGSERVICEFILE."
    )
