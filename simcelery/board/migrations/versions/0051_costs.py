"""What allocations cost: their cores, when they ran, and until when what ran may have been deleted."""

from alembic import op

revision = "0051"
down_revision = "0050"

STATEMENTS = """
ALTER TABLE allocations ADD COLUMN cores INTEGER;
ALTER TABLE allocations ADD COLUMN ran_from TIMESTAMP WITH TIME ZONE;
ALTER TABLE allocations ADD COLUMN ran_until TIMESTAMP WITH TIME ZONE;
ALTER TABLE allocations ADD CONSTRAINT allocations_cores_positive CHECK (cores > 0) NOT VALID;
ALTER TABLE allocations ADD CONSTRAINT allocations_ran_sane CHECK (
    ran_from BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
    AND ran_until BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
) NOT VALID;

CREATE TABLE horizon (
    one BOOLEAN DEFAULT true NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT horizon_pkey PRIMARY KEY (one),
    CONSTRAINT horizon_one_row CHECK (one),
    CONSTRAINT horizon_times_sane CHECK (until BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00')
);

CREATE INDEX attempts_ended ON attempts USING brin (finished_at);

-- Of allocations that there are, what their workers tell; how far earlier prunes went, nobody knows.
UPDATE allocations SET
    ran_from = greatest(allocations.recorded_at, least(came.first_at, allocations.starts_at)),
    ran_until = greatest(allocations.recorded_at, came.last_at)
FROM (
    SELECT allocation, min(started_at) AS first_at, max(renewed_at) AS last_at
    FROM workers GROUP BY allocation
) AS came
WHERE came.allocation = allocations.name
    AND came.first_at BETWEEN '0002-01-01 00:00:00+00' AND now()
    AND came.last_at BETWEEN '0002-01-01 00:00:00+00' AND now()
    AND allocations.recorded_at BETWEEN '0002-01-01 00:00:00+00' AND now();
INSERT INTO horizon (until) SELECT now() FROM allocations LIMIT 1;
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
