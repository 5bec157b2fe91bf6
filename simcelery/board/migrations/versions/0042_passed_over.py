"""Since when others overtake a job that does not fit beside what runs."""

from alembic import op

revision = "0042"
down_revision = "0041"

STATEMENTS = """
CREATE TABLE passed_over (
    job_id BIGINT NOT NULL PRIMARY KEY,
    since TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT passed_over_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
);

CREATE INDEX passed_over_since ON passed_over (since);

DROP FUNCTION IF EXISTS fitting_needs(bigint);
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
