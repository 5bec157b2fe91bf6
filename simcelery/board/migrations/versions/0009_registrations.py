"""What tells a worker from another that was ever given its number; and no attempt ends before it began."""

from alembic import op

revision = "0009"
down_revision = "0008"

COLUMN = "ALTER TABLE workers ADD COLUMN registration UUID DEFAULT gen_random_uuid() NOT NULL"


def upgrade() -> None:
    op.execute(COLUMN)
    op.execute("DROP FUNCTION IF EXISTS claim_jobs")
