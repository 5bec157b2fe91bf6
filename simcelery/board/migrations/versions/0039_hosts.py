"""Limits of hosts: a claim finds the workers of its own."""

from alembic import op

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    op.execute("CREATE INDEX workers_of_host ON workers (host)")
