"""One function finishes attempts of every outcome, in place of one for successes alone."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS finish_jobs(jsonb)")
