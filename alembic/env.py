"""Runs the toolkit's migrations on the connection that `foldlog.migrations` hands over."""

from alembic import context
from sqlalchemy import Connection

connection = context.config.attributes["connection"]
if not isinstance(connection, Connection):
    message = "expected a connection in the config's attributes; run `foldlog.migrations.upgrade`"
    raise TypeError(message)

context.configure(connection=connection, version_table_schema="foldlog")
with context.begin_transaction():
    context.run_migrations()
