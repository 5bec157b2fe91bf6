"""Jobs that are expected to take too long are tried; what is known of their kind is looked at again."""

from alembic import op

revision = "0054"
down_revision = "0053"

STATEMENTS = """
ALTER TABLE durations
    ADD COLUMN median DOUBLE PRECISION,
    ADD COLUMN outlasted_at TIMESTAMP WITH TIME ZONE,
    ALTER COLUMN p90 DROP NOT NULL,
    ALTER COLUMN newest_at DROP NOT NULL,
    DROP CONSTRAINT durations_numbers_sane,
    DROP CONSTRAINT durations_times_sane;
UPDATE durations SET median = p90, newest_at = CASE WHEN tags <> '{}' THEN newest_at END;
ALTER TABLE durations
    ADD CONSTRAINT durations_numbers_sane CHECK (
        p90 >= 0 AND p90 < 'Infinity' AND median >= 0 AND median < 'Infinity' AND successes >= 0
        AND (p90 IS NULL) = (median IS NULL)
    ),
    ADD CONSTRAINT durations_times_sane CHECK (
        newest_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
        AND outlasted_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
        AND learned_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
    );

CREATE INDEX jobs_requested ON jobs (queue, workflow, time_request)
    WHERE state = 'pending' AND time_request IS NOT NULL;

DROP FUNCTION IF EXISTS expected_time(bigint);
DROP FUNCTION IF EXISTS fits_in_time(double precision, bigint);
DROP FUNCTION IF EXISTS first_of_lane(text, text, integer);
DROP FUNCTION IF EXISTS choose_job(uuid, text, text, integer, bigint[], double precision);
DROP FUNCTION IF EXISTS next_job(text, text, integer, bigint[], double precision);
DROP FUNCTION IF EXISTS fair_job(text, text, integer, text, bigint[], double precision);
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
