"""Subscribers are told when their jobs are held."""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.execute("ALTER TABLE subscriptions ADD COLUMN held_at TIMESTAMP WITH TIME ZONE")
