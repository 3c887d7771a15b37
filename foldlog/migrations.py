"""The toolkit's own tables, in the PostgreSQL schema ``foldlog``, kept by alembic.

The migrations stand in ``alembic/`` in a checkout, and in ``foldlog/_migrations`` in the wheel.
Their revisions are numbers that go up.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text

from eventstore.errors import ConfigurationError
from eventstore.postgres import address

_LOCK: Final = 0x666F6C646C6F67  # "foldlog": one upgrade at a time per database
_EXISTS: Final = text("SELECT to_regclass('foldlog.alembic_version') IS NOT NULL")
_REVISION: Final = text("SELECT version_num FROM foldlog.alembic_version")


def upgrade(postgres: str) -> None:
    """Bring the toolkit's tables up to this release; safe to call from many processes at once.

    Raises:
        ConfigurationError: A later release has brought them further.
    """
    newest = _newest()
    engine = address.engine(postgres, pooled=False)
    with engine.connect() as connection:
        if _revision(connection) == newest:
            return
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = _revision(connection)
        if found is not None and found > newest:
            raise ConfigurationError(
                f"expected the tables in schema foldlog at revision {newest} or before; found "
                f"{found}: a later release of Foldlog uses this database; run that one"
            )
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS foldlog"))
        _run(connection)


def _folder() -> Path:
    shipped = Path(__file__).with_name("_migrations")
    return shipped if shipped.is_dir() else Path(__file__).parent.parent / "alembic"


def _newest() -> str:
    return max(each.name[:4] for each in (_folder() / "versions").glob("[0-9]*.py"))


def _revision(connection: Connection) -> str | None:
    """Where the tables stand; None: there are none."""
    if not connection.execute(_EXISTS).scalar_one():
        return None
    return connection.execute(_REVISION).scalar()


def _run(connection: Connection) -> None:
    # Importing alembic takes half of a second, which who starts anew mostly need not wait for.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_folder()))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
