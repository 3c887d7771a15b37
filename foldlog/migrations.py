"""The toolkit's own tables, in the PostgreSQL schema ``foldlog``, kept by alembic.

The migrations stand in ``alembic/`` in a checkout, and in ``foldlog/_migrations`` in the wheel.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from eventstore.postgres import address

_LOCK = 0x666F6C646C6F67  # "foldlog": one upgrade at a time per database


def _folder() -> Path:
    shipped = Path(__file__).with_name("_migrations")
    return shipped if shipped.is_dir() else Path(__file__).parent.parent / "alembic"


def upgrade(postgres: str) -> None:
    """Bring the toolkit's tables up to this release; safe to call from many processes at once."""
    engine = address.engine(postgres, pooled=False)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS foldlog"))
        config = Config()
        config.set_main_option("script_location", str(_folder()))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
