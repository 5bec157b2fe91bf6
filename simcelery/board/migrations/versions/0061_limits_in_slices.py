"""Jobs with a time limit travel in slices like others."""

from alembic import op

revision = "0061"
down_revision = "0060"

STATEMENTS = """
DROP INDEX jobs_slice;

CREATE INDEX jobs_slice ON jobs (workflow, queue, priority DESC, id)
    WHERE state = 'pending' AND losses = 0 AND needs_id IS NULL;
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
