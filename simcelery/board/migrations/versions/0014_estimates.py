"""How long the last successes of a workflow ran is found by an index of its own."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX jobs_succeeded ON jobs (workflow, (finished_at AT TIME ZONE 'UTC')) "
        "WHERE state = 'succeeded'"
    )
