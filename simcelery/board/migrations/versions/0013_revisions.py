"""What a job was to do before its parameters were revised: a row for each revision, none for other jobs."""

from alembic import op

revision = "0013"
down_revision = "0012"

STATEMENT = """
CREATE TABLE revisions (
    job_id BIGINT NOT NULL,
    revision INTEGER NOT NULL,
    parameters JSONB NOT NULL,
    last_attempt INTEGER NOT NULL,
    revised_by TEXT NOT NULL,
    revised_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT revisions_pkey PRIMARY KEY (job_id, revision),
    CONSTRAINT revisions_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
)
"""


def upgrade() -> None:
    op.execute(STATEMENT)
