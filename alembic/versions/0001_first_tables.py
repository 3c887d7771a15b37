"""The toolkit's own tables.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE foldlog.application (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    one boolean NOT NULL DEFAULT true UNIQUE CHECK (one)
);
COMMENT ON TABLE foldlog.application IS 'The one application that this database serves.';

CREATE TABLE foldlog.topics (
    topic text PRIMARY KEY,
    topic_id text NOT NULL,
    partitions integer NOT NULL CHECK (partitions > 0)
);
COMMENT ON TABLE foldlog.topics IS 'Each topic as it was when made or first seen.';

CREATE TABLE foldlog.checkpoints (
    topic text NOT NULL,
    partition integer NOT NULL,
    topic_id text NOT NULL,
    next_offset bigint NOT NULL,
    epoch bigint NOT NULL,
    writer bytea NOT NULL,
    next_sequence bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE foldlog.checkpoints IS 'The log prefix that heads and appends reflect.';

CREATE TABLE foldlog.heads (
    topic text NOT NULL,
    partition integer NOT NULL,
    stream text NOT NULL,
    version bigint NOT NULL,
    append_id uuid NOT NULL,
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition, stream)
);

CREATE TABLE foldlog.appends (
    topic text NOT NULL,
    partition integer NOT NULL,
    append_id uuid NOT NULL,
    stream text NOT NULL,
    version bigint NOT NULL,
    count integer NOT NULL,
    last_offset bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, append_id)
);
CREATE INDEX appends_at ON foldlog.appends USING brin (at);

CREATE TABLE foldlog.states (
    topic text NOT NULL,
    stream text NOT NULL,
    fingerprint bytea NOT NULL,
    version bigint NOT NULL,
    state jsonb NOT NULL,
    PRIMARY KEY (topic, stream, fingerprint)
);

CREATE TABLE foldlog.generations (
    projection text NOT NULL,
    generation integer NOT NULL CHECK (generation > 0),
    fingerprint bytea NOT NULL,
    version integer NOT NULL,
    schema text NOT NULL,
    state text NOT NULL CHECK (state IN ('building', 'live', 'retired')),
    PRIMARY KEY (projection, generation)
);
CREATE UNIQUE INDEX generations_one_live ON foldlog.generations (projection) WHERE state = 'live';

CREATE TABLE foldlog.positions (
    projection text NOT NULL,
    generation integer NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    epoch bigint NOT NULL,
    writer bytea NOT NULL,
    next_sequence bigint NOT NULL,
    owner_epoch bigint NOT NULL DEFAULT 0,
    owner text,
    owner_seen timestamptz,
    last_offset bigint,
    last_event text,
    PRIMARY KEY (projection, generation, topic, partition),
    FOREIGN KEY (projection, generation) REFERENCES foldlog.generations ON DELETE CASCADE
);
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    for table in (
        "positions",
        "generations",
        "states",
        "appends",
        "heads",
        "checkpoints",
        "topics",
        "application",
    ):
        op.drop_table(table, schema="foldlog")
