"""Nodes that the allocations of a cluster leave out."""

from alembic import op

revision = "0049"
down_revision = "0047"

STATEMENTS = """
ALTER TABLE clusters ADD COLUMN bad_nodes JSONB DEFAULT '[]' NOT NULL;
ALTER TABLE clusters ADD COLUMN bad_nodes_kept TEXT;
ALTER TABLE clusters ADD CONSTRAINT clusters_bad_nodes_are_listed
    CHECK (jsonb_typeof(bad_nodes) = 'array') NOT VALID;
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
