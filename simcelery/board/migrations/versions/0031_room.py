"""What nodes have for jobs, and what running jobs have of it."""

from alembic import op

revision = "0031"
down_revision = "0030"

STATEMENTS = """
ALTER TABLE needs ADD COLUMN cores INTEGER;
ALTER TABLE needs ADD COLUMN gpus INTEGER;
ALTER TABLE needs DROP CONSTRAINT needs_numbers_positive;
ALTER TABLE needs
    ADD CONSTRAINT needs_numbers_positive CHECK (memory > 0 AND cores > 0 AND gpus > 0) NOT VALID;

DROP INDEX needs_same;
CREATE UNIQUE INDEX needs_same ON needs (coalesce(memory, 0), coalesce(cores, 0), coalesce(gpus, 0));

ALTER TABLE workers ADD COLUMN cores INTEGER;
ALTER TABLE workers ADD COLUMN memory BIGINT;
ALTER TABLE workers ADD COLUMN gpus TEXT[];

CREATE TABLE grants (
    job_id BIGINT NOT NULL PRIMARY KEY,
    claim_id UUID NOT NULL,
    worker_id BIGINT NOT NULL,
    cores INTEGER,
    memory BIGINT,
    gpus TEXT[] NOT NULL,
    CONSTRAINT grants_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
);

CREATE INDEX grants_worker ON grants (worker_id);
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
