"""Queues that are shared between submitters or tags."""

from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE shares (
            queue TEXT NOT NULL,
            by TEXT NOT NULL,
            set_by TEXT NOT NULL,
            set_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT shares_pkey PRIMARY KEY (queue),
            CONSTRAINT shares_by_known CHECK (by IN ('submitter', 'tag'))
        )
        """
    )
