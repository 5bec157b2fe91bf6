"""Somebody holds jobs by hand: their gate says who."""

from alembic import op

revision = "0057"
down_revision = "0056"

STATEMENTS = """
ALTER TABLE gates ADD COLUMN held_by TEXT;
ALTER TABLE gates DROP CONSTRAINT gates_closed_by_known;
ALTER TABLE gates ADD CONSTRAINT gates_closed_by_known
    CHECK (closed_by IN ('canary', 'fuse', 'hand')) NOT VALID;
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
