"""What an attempt is repeated with: the seed of its random numbers."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE attempts ADD COLUMN seed BIGINT")
