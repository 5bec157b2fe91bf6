"""Which source workers run and submitters had, so that a worker with older files is found out."""

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS = """
ALTER TABLE workers
    ADD COLUMN sources JSONB DEFAULT '{}' NOT NULL,
    ADD COLUMN changed_files TEXT[] DEFAULT '{}' NOT NULL;

CREATE TABLE submitted_sources (
    workflow TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    submitted_by TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL
);
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
