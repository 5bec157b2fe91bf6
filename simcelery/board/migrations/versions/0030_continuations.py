"""A job may go on in another one, whose result becomes its own."""

from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE dependencies DROP CONSTRAINT dependencies_kind_known,
            ADD CONSTRAINT dependencies_kind_known CHECK (kind IN ('any', 'then')) NOT VALID
        """
    )
