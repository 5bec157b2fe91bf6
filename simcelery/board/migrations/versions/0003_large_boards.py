"""What a board of millions of jobs needs: indexes, what settle has done, and a vacuum that keeps up."""

from alembic import op

revision = "0003"
down_revision = "0002"

# Each transition writes a new version of the row, and only a vacuum removes the dead ones from the ends of
# the partial indexes, where claims and the feed look first. By default it would come after a fifth of the
# table has changed, and pause so often that it takes minutes; counts from an index alone need it, too.
# Room on the pages of jobs (fillfactor) was measured and gains nothing: no transition is heap-only, and
# what reports progress finds the room that its claim left. A renewal of a lease is heap-only, given room.
STATEMENTS = """
ALTER TABLE jobs ADD COLUMN settled_at TIMESTAMP WITH TIME ZONE;

CREATE INDEX jobs_slice ON jobs (workflow, queue, priority DESC, id)
    WHERE state = 'pending' AND losses = 0 AND time_limit IS NULL AND soft_time_limit IS NULL;

CREATE INDEX jobs_kind ON jobs (workflow, queue, state);

CREATE INDEX jobs_tags ON jobs USING gin (tags) WHERE tags <> '{}';

CREATE INDEX jobs_unsettled ON jobs (id)
    WHERE finished_at IS NOT NULL
        AND (settled_at < finished_at OR (settled_at IS NULL AND state <> 'succeeded'));

DROP INDEX workers_live;

CREATE INDEX workers_live ON workers (id) WHERE ended_at IS NULL;

ALTER TABLE workers SET (fillfactor = 50);

ALTER TABLE jobs SET (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_vacuum_cost_limit = 2000,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_analyze_threshold = 5000
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
