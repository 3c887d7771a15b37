"""PostgreSQL addresses: one URL for psycopg and for SQLAlchemy, its password never shown."""

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from eventstore.defaults import CONNECT_SECONDS
from eventstore.errors import ConfigurationError

EXAMPLE = "postgresql://user@host:5432/database"
KEEPALIVES = {
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""A server that is gone is noticed within about half a minute."""


def refuse_engine(postgres: object) -> None:
    """Refuse an engine of SQLAlchemy's in place of an address.

    Raises:
        ConfigurationError: It is one; the message has the line that makes an address of it.
    """
    if isinstance(getattr(postgres, "url", None), URL):
        raise ConfigurationError(
            f"expected a PostgreSQL address such as {EXAMPLE}; found an object of SQLAlchemy's, "
            f"{type(postgres).__name__}: what Foldlog opens belongs to no event loop, and commits "
            "by itself; give it the address, as in\n"
            "    postgres = engine.url.render_as_string(hide_password=False)"
        )


def parse(postgres: str) -> URL:
    """The address as SQLAlchemy's URL for psycopg; ``postgres://`` is understood too.

    Raises:
        ConfigurationError: It is not a PostgreSQL URL, or an engine. The message does not repeat
            the address, which may hold a password.
    """
    refuse_engine(postgres)
    try:
        url = make_url(postgres)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            f"expected a PostgreSQL address such as {EXAMPLE}; found something else"
        ) from None
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise ConfigurationError(
            f"expected a PostgreSQL address such as {EXAMPLE}; found {url.drivername}://…"
        )
    _check_secrets(url)
    return url.set(drivername="postgresql+psycopg")


def _check_secrets(url: URL) -> None:
    """Refuse a password that stands, or would be taken to stand, where it is shown."""
    if "@" in (url.host or "") or "\0" in (url.password or "") or "password" in url.query:
        raise ConfigurationError(
            f"expected a PostgreSQL address such as {EXAMPLE}; found a password outside its "
            "place, or with a character that must be escaped: write user:password@host, and "
            "@ as %40 in the password"
        )


def reach(postgres: str) -> None:
    """Connect once, to say clearly if nobody answers.

    Raises:
        ConfigurationError: It is no PostgreSQL address, nobody answers there, or the server
            refuses the user or the database.
    """
    url = parse(postgres)
    try:
        connect(postgres).close()
    except psycopg.OperationalError as error:
        raise ConfigurationError(
            f"expected PostgreSQL at {url.host or 'localhost'}:{url.port or 5432}, database "
            f"{url.database}; found: {str(error).strip()}; check the address, or run "
            "`foldlog dev` for a PostgreSQL of your own"
        ) from None


def _with_defaults(url: URL) -> URL:
    """Of several hosts, and of those that a name has, the primary alone: a standby may lag."""
    own = {"connect_timeout": str(int(CONNECT_SECONDS)), "target_session_attrs": "read-write"}
    return url.set(query={**KEEPALIVES, **own, **url.query})


def engine(postgres: str, *, pooled: bool = True) -> Engine:
    """A SQLAlchemy engine for this address."""
    url = _with_defaults(parse(postgres))
    return create_engine(url) if pooled else create_engine(url, poolclass=NullPool)


def connect(postgres: str, *, autocommit: bool = False) -> Connection[TupleRow]:
    """A psycopg connection of its own, not from a pool."""
    url = _with_defaults(parse(postgres)).set(drivername="postgresql")
    return Connection.connect(url.render_as_string(hide_password=False), autocommit=autocommit)
