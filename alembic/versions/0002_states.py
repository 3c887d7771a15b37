"""States say which append they end with, and keep the order of what is in them.

Nothing has stored a state before. ``json``, unlike ``jsonb``, keeps the order of a dict's keys, on
which a fold may depend, and any character of a text.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE foldlog.states
    ADD COLUMN append_id uuid NOT NULL,
    ALTER COLUMN state TYPE json;
COMMENT ON TABLE foldlog.states IS 'Streams folded up to a version: a cache, by shape of state.';
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    op.execute("TRUNCATE foldlog.states")
    op.execute("ALTER TABLE foldlog.states DROP COLUMN append_id, ALTER COLUMN state TYPE jsonb")
