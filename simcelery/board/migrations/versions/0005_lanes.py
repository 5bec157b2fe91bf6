"""Lanes: the feed by queue, workflow and priority."""

from alembic import op

revision = "0005"
down_revision = "0004"

INDEXES = """
DROP INDEX jobs_unpublished;

CREATE INDEX jobs_unpublished ON jobs (queue, workflow, priority DESC, id)
    WHERE state = 'pending' AND published_at IS NULL;

DROP INDEX jobs_published;

CREATE INDEX jobs_published ON jobs (queue, workflow, priority DESC, published_at)
    WHERE state = 'pending' AND published_at IS NOT NULL;

DROP FUNCTION IF EXISTS claim_jobs;
"""


def upgrade() -> None:
    for statement in INDEXES.split(";\n"):
        if statement.strip():
            op.execute(statement)
