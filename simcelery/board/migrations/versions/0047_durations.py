"""How long jobs take, as somebody has said or as is learned, and when workers end."""

from alembic import op

revision = "0047"
down_revision = "0046"

STATEMENTS = """
ALTER TABLE jobs ADD COLUMN time_request BIGINT;

ALTER TABLE workers ADD COLUMN ends_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE workers ADD CONSTRAINT workers_end_sane
    CHECK (ends_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00') NOT VALID;

CREATE TABLE durations (
    workflow TEXT NOT NULL,
    tags TEXT[] NOT NULL,
    successes INTEGER NOT NULL,
    p90 DOUBLE PRECISION NOT NULL,
    newest_at TIMESTAMP WITH TIME ZONE NOT NULL,
    learned_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT durations_pkey PRIMARY KEY (workflow, tags),
    CONSTRAINT durations_numbers_sane CHECK (p90 >= 0 AND p90 < 'Infinity' AND successes > 0),
    CONSTRAINT durations_times_sane CHECK (
        newest_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
        AND learned_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
    )
);

CREATE INDEX attempts_walltime ON attempts (finished_at) WHERE cause = 'walltime';

DROP FUNCTION IF EXISTS choose_job(uuid, text, text, integer, bigint[]);
DROP FUNCTION IF EXISTS next_job(text, text, integer, bigint[]);
DROP FUNCTION IF EXISTS fair_job(text, text, integer, text, bigint[]);
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
