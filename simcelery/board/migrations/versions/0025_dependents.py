"""Jobs that others wait for travel in slices, and a finish unblocks the dependents of many at once."""

from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """What the functions do is as it is now; the one that did it for a single parent is gone."""
    op.execute("DROP FUNCTION IF EXISTS unblock_dependents(bigint, integer)")
