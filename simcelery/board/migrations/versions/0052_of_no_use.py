"""When allocations or the controller of a cluster were of no use, and an index for what has ended."""

from alembic import op

revision = "0052"
down_revision = "0051"

STATEMENTS = """
ALTER TABLE clusters ADD COLUMN failed_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE clusters ADD COLUMN replaced_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE clusters ADD CONSTRAINT clusters_trouble_sane CHECK (
    failed_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
    AND replaced_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
) NOT VALID;

ALTER TABLE allocations ADD COLUMN idle_since TIMESTAMP WITH TIME ZONE;
ALTER TABLE allocations ADD COLUMN no_worker_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE allocations ADD CONSTRAINT allocations_use_sane CHECK (
    idle_since BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
    AND no_worker_at BETWEEN '0002-01-01 00:00:00+00' AND '9998-01-01 00:00:00+00'
) NOT VALID;
CREATE INDEX allocations_ended ON allocations (cluster, ended_at) WHERE state = 'ended';
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
