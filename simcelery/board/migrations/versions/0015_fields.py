"""Functions that read fields of stored values, for conditions; the catalogue says what workflows return."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """The functions are installed as they are now."""
    op.execute("ALTER TABLE workflows ADD COLUMN returns JSON")
