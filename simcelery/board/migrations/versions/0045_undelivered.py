"""What could not be delivered is found without a look at every notification that was."""

from alembic import op

revision = "0045"
down_revision = "0044"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX notifications_undelivered ON notifications (created_at)"
        " WHERE sent_at IS NULL AND error IS NOT NULL"
    )
