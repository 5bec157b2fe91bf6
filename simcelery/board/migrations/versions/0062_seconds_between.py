"""Infinite times stop nothing before Postgres 17 either: functions are installed anew, and a new one."""

revision = "0062"
down_revision = "0061"


def upgrade() -> None:
    pass
