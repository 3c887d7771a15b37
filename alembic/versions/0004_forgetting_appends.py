"""Append ids that are too old are found one after the other.

In a block range index each range comes to hold an old one, once space is used again: everything
would be read to find them.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INDEX = """
DROP INDEX foldlog.appends_at;
CREATE INDEX appends_at ON foldlog.appends (at);
"""


def upgrade() -> None:
    op.execute(INDEX)


def downgrade() -> None:
    op.execute("DROP INDEX foldlog.appends_at")
    op.execute("CREATE INDEX appends_at ON foldlog.appends USING brin (at)")
