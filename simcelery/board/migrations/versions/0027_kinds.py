"""What a job waits for: the success of another, or its end."""

from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE dependencies ADD COLUMN kind TEXT,
            ADD CONSTRAINT dependencies_kind_known CHECK (kind IN ('any')) NOT VALID
        """
    )
