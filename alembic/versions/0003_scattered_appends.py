"""Where the events of an append stand that are not side by side.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE foldlog.appends ADD COLUMN offsets bigint[]")


def downgrade() -> None:
    op.execute("ALTER TABLE foldlog.appends DROP COLUMN offsets")
