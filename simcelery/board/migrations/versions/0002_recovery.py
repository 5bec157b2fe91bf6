"""What recovery needs to know of workers, and the index by which finished jobs are pruned."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = """
ALTER TABLE workers
    ADD COLUMN identity TEXT DEFAULT '' NOT NULL,
    ADD COLUMN steady_since TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ADD COLUMN workflows TEXT[] DEFAULT '{}' NOT NULL,
    ADD COLUMN quarantined_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN succeeded JSONB DEFAULT '{}' NOT NULL;

CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
