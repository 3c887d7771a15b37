"""The toolkit's own tables: made once, and not taken back by an older release."""

import subprocess
import sys
from pathlib import Path

import pytest

from eventstore.errors import ConfigurationError
from eventstore.postgres import address
from foldlog import migrations

ROOT = Path(__file__).parent.parent
STARTED = """
import sys
from foldlog import App, migrations
migrations.upgrade(sys.argv[1])
assert "alembic" not in sys.modules, "half a second"
"""


def test_a_process_that_finds_the_tables_as_they_should_be_does_not_wait_for_alembic(
    postgres: str,
) -> None:
    subprocess.run([sys.executable, "-c", STARTED, postgres], cwd=ROOT, check=True)


def test_tables_that_a_later_release_has_changed_are_refused(postgres: str) -> None:
    with address.connect(postgres) as db:
        db.execute("UPDATE foldlog.alembic_version SET version_num = '9000'")
    with pytest.raises(ConfigurationError, match="found 9000: a later release"):
        migrations.upgrade(postgres)


def test_an_empty_database_gets_them_and_one_of_an_earlier_release_what_it_lacks(
    postgres: str,
) -> None:
    with address.connect(postgres) as db:
        db.execute("DROP SCHEMA foldlog CASCADE")
    migrations.upgrade(postgres)
    with address.connect(postgres) as db:
        db.execute("DROP INDEX foldlog.appends_at")
        db.execute("CREATE INDEX appends_at ON foldlog.appends USING brin (at)")
        db.execute("UPDATE foldlog.alembic_version SET version_num = '0003'")
    migrations.upgrade(postgres)
    with address.connect(postgres) as db:
        (found,) = db.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'appends_at'")
    assert "btree" in found[0]
