"""Alembic's entry: runs on the connection (and in the transaction) that `migrate.upgrade` opened."""

from alembic import context

from simcelery.board.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
