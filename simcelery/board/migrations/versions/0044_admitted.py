"""What a limit has let go and a gate then holds: the functions are as they are now."""

from alembic import op

revision = "0044"
down_revision = "0043"


def upgrade() -> None:
    """Forget what a gate has held since, so that it is let go."""
    op.execute(
        "DELETE FROM throttled USING jobs "
        "WHERE jobs.id = job_id AND woken_at IS NOT NULL AND state <> 'pending'"
    )
