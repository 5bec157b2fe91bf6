"""Schedules that a settings file declares."""

from alembic import op

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    op.execute("ALTER TABLE schedules ADD COLUMN from_settings BOOLEAN DEFAULT false NOT NULL")
