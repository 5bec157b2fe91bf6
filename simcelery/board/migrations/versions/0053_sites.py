"""Through which scheduler, and as whom, a cluster is started."""

from alembic import op

revision = "0053"
down_revision = "0052"

STATEMENTS = """
ALTER TABLE clusters ADD COLUMN site TEXT;
ALTER TABLE clusters ADD COLUMN owner TEXT;
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
