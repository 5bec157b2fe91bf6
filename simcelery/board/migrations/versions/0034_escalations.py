"""What the next attempt gets after one that ended for want of memory or time."""

from alembic import op

revision = "0034"
down_revision = "0033"

STATEMENTS = """
ALTER TABLE needs ADD COLUMN escalation JSONB;
ALTER TABLE needs ADD CONSTRAINT needs_escalation_is_named CHECK (jsonb_typeof(escalation) = 'object');

DROP INDEX needs_same;
CREATE UNIQUE INDEX needs_same ON needs (
    coalesce(memory, 0), coalesce(cores, 0), coalesce(gpus, 0), coalesce(escalation, '{}'::jsonb)
);

CREATE TABLE escalations (
    job_id BIGINT NOT NULL,
    attempt INTEGER NOT NULL,
    cause TEXT NOT NULL,
    before JSONB NOT NULL,
    after JSONB NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT escalations_pkey PRIMARY KEY (job_id, attempt),
    CONSTRAINT escalations_job_id_fkey FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
